import { expect, test } from 'vitest';
import { containerEnv } from '../../standalone/node/env.ts';
import type { Pod } from '../../standalone/port.ts';

const pod: Pod = { metadata: { name: 'p', namespace: 'a' }, spec: { containers: [] } };
const facts = {
	podIPs: ['10.244.1.2'],
	hostIPs: ['192.168.10.11'],
	services: new Map([
		['WEB_SERVICE_HOST', '10.96.0.3'],
		['WEB_SERVICE_PORT', '80'],
		['WEB_PORT', 'tcp://10.96.0.3:80'],
	]),
	dataOf: (kind: string, name: string) =>
		name === 'there' ? { key: `of a ${kind}`, 'a=b': 'no name', WEB_SERVICE_PORT: '1' } : undefined,
};

test("a container's own variables win over those of Services and may name them (E-07)", () => {
	const env = containerEnv(
		pod,
		{
			envFrom: [{ configMapRef: { name: 'there' } }],
			env: [
				{ name: 'URL', value: 'http://$(WEB_SERVICE_HOST):$(WEB_SERVICE_PORT)/$(MINE)' },
				{ name: 'WEB_SERVICE_HOST', value: 'mine' },
				{ name: 'LATER', value: '$(WEB_SERVICE_HOST)' },
			],
		},
		facts,
	);
	expect(env).toMatchObject({
		WEB_SERVICE_HOST: 'mine',
		WEB_SERVICE_PORT: '1',
		WEB_PORT: 'tcp://10.96.0.3:80',
		URL: 'http://10.96.0.3:1/$(MINE)',
		LATER: 'mine',
	});
});

test('containerEnv() takes all keys or one of ConfigMaps and Secrets, and values are not expanded', () => {
	const env = containerEnv(
		pod,
		{
			envFrom: [
				{ prefix: 'S_', secretRef: { name: 'there' } },
				{ configMapRef: { name: 'none', optional: true } },
			],
			env: [
				{ name: 'ONE', valueFrom: { secretKeyRef: { name: 'there', key: 'key' } } },
				{ name: 'NONE', valueFrom: { configMapKeyRef: { name: 'there', key: 'x', optional: true } } },
				{ name: 'HOSTS', valueFrom: { fieldRef: { fieldPath: 'status.hostIPs' } } },
			],
		},
		facts,
	);
	expect(env).toMatchObject({ S_key: 'of a secret', ONE: 'of a secret', HOSTS: '192.168.10.11' });
	expect(env).not.toHaveProperty('S_a=b');
	expect(env).not.toHaveProperty('NONE');
});

test.each([
	[{ envFrom: [{ configMapRef: { name: 'none' } }] }, 'configmap "none" not found'],
	[
		{ env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'none', key: 'k' } } }] },
		'secret "none" not found',
	],
	[
		{ env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'there', key: 'k' } } }] },
		"couldn't find key k in ConfigMap a/there",
	],
])('containerEnv() refuses %j with the words of a kubelet', (container, message) => {
	expect(() => containerEnv(pod, container, facts)).toThrow(message);
});
