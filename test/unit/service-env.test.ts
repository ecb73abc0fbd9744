import { expect, test } from 'vitest';
import type { Json } from '../../agent/model/read.ts';
import { serviceVariables } from '../../agent/model/service-env.ts';
import vector from '../vectors/envvars.json' with { type: 'json' };
import { runMaglane } from './cli-fixture.ts';

interface Port {
	name?: string;
	port: number;
	protocol?: string;
}
const service = (
	namespace: string,
	name: string,
	clusterIP: string | undefined,
	ports: Port[] = [{ port: 80 }],
) => ({
	metadata: { namespace, name },
	spec: { clusterIP, ports },
});
const lines = (variables: ReadonlyMap<string, string>) =>
	[...variables].map(([name, value]) => `${name}=${value}`);
const names = (services: Json[], namespace: string, links = true) =>
	[...serviceVariables(services, namespace, links).keys()].filter((name) => name.endsWith('_SERVICE_HOST'));

test('serviceVariables() gives the 20 variables of the vector in their order (E-01, E R-1)', () => {
	const services = vector.services.map(({ name, clusterIP, ports }) => service('a', name, clusterIP, ports));
	expect(vector.want).toHaveLength(20);
	expect(lines(serviceVariables(services, 'a', true))).toEqual(vector.want);
});

test('serviceVariables() brackets IPv6 in URLs alone and skips what has no address (E R-1)', () => {
	const six = service('a', 'six', 'fd00:10:96::5', [{ name: 'web-ui', port: 443 }]);
	const none = [
		service('a', 'empty', ''),
		service('a', 'external', undefined),
		service('a', 'headless', 'None'),
	];
	expect(lines(serviceVariables([six, ...none], 'a', true))).toEqual([
		'SIX_SERVICE_HOST=fd00:10:96::5',
		'SIX_SERVICE_PORT=443',
		'SIX_SERVICE_PORT_WEB_UI=443',
		'SIX_PORT=tcp://[fd00:10:96::5]:443',
		'SIX_PORT_443_TCP=tcp://[fd00:10:96::5]:443',
		'SIX_PORT_443_TCP_PROTO=tcp',
		'SIX_PORT_443_TCP_PORT=443',
		'SIX_PORT_443_TCP_ADDR=fd00:10:96::5',
	]);
});

const cluster = [
	service('default', 'kubernetes', '10.96.0.1', [{ name: 'https', port: 443 }]),
	service('default', 'other', '10.96.0.2'),
	service('a', 'web', '10.96.0.3'),
	service('b', 'db', '10.96.0.4'),
];

test("a pod sees its namespace's Services and the master Service, no other's (E-03, E R-2)", () => {
	expect(names(cluster, 'a')).toEqual(['KUBERNETES_SERVICE_HOST', 'WEB_SERVICE_HOST']);
	expect(names(cluster, 'b')).toEqual(['KUBERNETES_SERVICE_HOST', 'DB_SERVICE_HOST']);
	expect(names(cluster, 'default')).toEqual(['KUBERNETES_SERVICE_HOST', 'OTHER_SERVICE_HOST']);
});

test('without service links the master Service is left (E R-2)', () => {
	expect(names(cluster, 'a', false)).toEqual(['KUBERNETES_SERVICE_HOST']);
	expect(names(cluster, 'default', false)).toEqual(['KUBERNETES_SERVICE_HOST']);
});

test.each([
	['before', (own: Json) => [own, ...cluster]],
	['behind', (own: Json) => [...cluster, own]],
])("a Service of the master's name in the pod's namespace wins, %s it (E R-2)", (_where, order) => {
	const own = service('a', 'kubernetes', '10.96.9.9');
	const host = (links: boolean) => serviceVariables(order(own), 'a', links).get('KUBERNETES_SERVICE_HOST');
	expect(host(true)).toBe('10.96.9.9');
	expect(host(false)).toBe('10.96.0.1');
});

test('the order of Services whose names give one prefix does not matter (E-07)', () => {
	const [one, other] = [service('a', 'my-svc', '10.0.0.1'), service('a', 'mysvc', '10.0.0.2')];
	const sorted = (services: Json[]) => lines(serviceVariables(services, 'a', true)).sort();
	expect(sorted([one, other])).toEqual(sorted([other, one]));
});

const listServices = async () => cluster;

test('maglane env prints what a pod of the namespace would be given', async () => {
	const { out, code } = await runMaglane(['env', '-n', 'b'], { listServices });
	expect(code).toBe(0);
	expect(out).toMatch(/^NAME +VALUE\nKUBERNETES_SERVICE_HOST +10\.96\.0\.1\n/);
	expect(out).toMatch(/^DB_SERVICE_HOST +10\.96\.0\.4$/m);
	expect(out).not.toMatch(/WEB_/);
});

test('maglane env -o export is what a shell takes, -o json a list', async () => {
	const shell = await runMaglane(['env', '-n', 'a', '-o', 'export'], { listServices });
	expect(shell.out).toContain("export WEB_PORT='tcp://10.96.0.3:80'\n");
	const json = await runMaglane(['env', '--no-service-links', '-o', 'json'], { listServices });
	expect(JSON.parse(json.out)[0]).toEqual({ name: 'KUBERNETES_SERVICE_HOST', value: '10.96.0.1' });
	expect(json.out).not.toContain('OTHER');
});
