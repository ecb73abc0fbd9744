import { expect, test } from 'vitest';
import { Feed } from '../../agent/dns/feed.ts';
import { asker, makeZone, service } from './dns-rig.ts';

const NAME = 'web.default.svc.cluster.local';

test('a feed is whole when namespaces are listed and the Services are known, in either order (D R-0)', () => {
	for (const order of [
		['listed', 'update'],
		['update', 'listed'],
	]) {
		let told = 0;
		const feed = new Feed(makeZone(), () => told++);
		const steps = { listed: () => feed.namespaces.listed(), update: () => feed.update([], () => []) };
		for (const step of order) {
			expect([feed.synced, told]).toEqual([false, 0]);
			steps[step as keyof typeof steps]();
		}
		expect([feed.synced, told]).toEqual([true, 1]);
		feed.update([], () => []);
		feed.namespaces.listed();
		expect(told).toBe(1);
	}
});

test('a Service has its names when it is looked at, and none when it is gone', async () => {
	const zone = makeZone();
	const ask = asker(zone);
	const feed = new Feed(zone, () => {});
	const sink = feed.services({ upsert() {}, remove() {}, listed() {} });
	const update = () => feed.update(['default/web'], () => []);
	sink.upsert('default/web', service('default/web', { clusterIPs: ['10.96.0.1'] }));
	expect((await ask(NAME, 'A')).rcode).toBe('NXDOMAIN');
	update();
	expect((await ask(NAME, 'A')).texts).toEqual(['10.96.0.1']);
	sink.upsert('default/web', service('default/web', { type: 'ExternalName', externalName: 'a.b' }));
	update();
	expect((await ask(NAME, 'A')).texts).toEqual(['a.b.']);
	sink.remove('default/web');
	update();
	expect((await ask(NAME, 'A')).rcode).toBe('NXDOMAIN');
});
