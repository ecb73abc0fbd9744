import dgram from 'node:dgram';
import packet, { type Packet } from 'dns-packet';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NameServer } from '../../agent/dns/name-server.ts';
import { silent } from '../support/log.ts';
import { queryOf, service } from './dns-rig.ts';

const SLICE = 'default/set-1';
const slice = (owner: string, addresses: readonly string[]) => ({
	metadata: { name: 'set-1', namespace: 'default', labels: { 'kubernetes.io/service-name': owner } },
	addressType: 'IPv4',
	endpoints: addresses.map((address) => ({ addresses: [address] })),
	ports: [],
});
const headless = (name: string) => service(`default/${name}`, { clusterIP: 'None', clusterIPs: ['None'] });
const nameOf = (name: string) => `${name}.default.svc.cluster.local`;

let server: NameServer;
beforeEach(async () => {
	server = new NameServer({
		zone: { name: 'cluster.local', server: 'kube-system/kube-dns', reverse: [] },
		log: silent,
		after: () => () => {},
	});
	await server.serve([{ addresses: [{ host: '127.0.0.1', port: 0 }] }]);
});
afterEach(() => server.close());

/** Status and data of a UDP answer. */
async function ask(name: string): Promise<string[]> {
	const socket = dgram.createSocket('udp4');
	try {
		const { host, port } = server.addresses[0]!;
		const answer = new Promise<Buffer>((resolve) => socket.once('message', resolve));
		socket.send(queryOf(name, 'A'), port, host);
		const { rcode, answers = [] } = packet.decode(await answer) as Packet & { rcode: string };
		return [rcode, ...answers.map((record) => String((record as { data: unknown }).data)).sort()];
	} finally {
		socket.close();
	}
}

test('names follow Services, whatever comes first', async () => {
	expect(await ask(nameOf('web'))).toEqual(['NXDOMAIN']);
	server.setService('default/web', service('default/web', { clusterIPs: ['10.96.0.1'] }));
	expect(await ask(nameOf('web'))).toEqual(['NOERROR', '10.96.0.1']);
	server.setService('default/web', undefined);
	expect(await ask(nameOf('web'))).toEqual(['NXDOMAIN']);
	server.setSlice(SLICE, slice('set', ['10.244.1.2']));
	expect(await ask(nameOf('set'))).toEqual(['NXDOMAIN']);
	server.setService('default/set', headless('set'));
	expect(await ask(nameOf('set'))).toEqual(['NOERROR', '10.244.1.2']);
});

test('a slice is of one Service at a time, and of none when it is gone', async () => {
	for (const name of ['set', 'other']) server.setService(`default/${name}`, headless(name));
	server.setSlice(SLICE, slice('set', ['10.244.1.2']));
	server.setSlice(SLICE, slice('set', ['10.244.1.2', '10.244.1.3']));
	expect(await ask(nameOf('set'))).toEqual(['NOERROR', '10.244.1.2', '10.244.1.3']);
	server.setSlice(SLICE, slice('other', ['10.244.1.4']));
	expect(await ask(nameOf('set'))).toEqual(['NXDOMAIN']);
	expect(await ask(nameOf('other'))).toEqual(['NOERROR', '10.244.1.4']);
	server.setSlice(SLICE, undefined);
	expect(await ask(nameOf('other'))).toEqual(['NXDOMAIN']);
});

test('a namespace has a name while it exists, and names of others are refused', async () => {
	server.setNamespace('empty', true);
	expect(await ask('empty.svc.cluster.local')).toEqual(['NOERROR']);
	server.setNamespace('empty', false);
	expect(await ask('empty.svc.cluster.local')).toEqual(['NXDOMAIN']);
	expect(await ask('example.com')).toEqual(['REFUSED']);
});
