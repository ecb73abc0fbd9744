/** Stages between the watches and the reconciler pass on the calls that they do not replace. */
import { describe, expect, it } from 'vitest';
import type { Sink } from '../../agent/base/sink.ts';
import { pipeline } from '../../agent/compose/pipeline.ts';
import { Feed } from '../../agent/dns/feed.ts';
import { Zone } from '../../agent/dns/zone.ts';
import { HostPorts } from '../../agent/features/host-ports.ts';
import { SocketLabels } from '../../agent/features/socket-labels.ts';
import { createMetrics } from '../../agent/http/metrics.ts';
import { Observer } from '../../agent/loop/observer.ts';

const WHY = 'no right';

/** The end of a pipeline, which notes each call. */
function end(calls: string[], name: string): Sink {
	return {
		upsert: (key) => void calls.push(`${name} upsert ${key}`),
		remove: (key) => void calls.push(`${name} remove ${key}`),
		listed: () => void calls.push(`${name} listed`),
		forbidden: (why) => void calls.push(`${name} forbidden ${why}`),
	};
}

function each(sink: Sink): void {
	sink.upsert('a/b', {});
	sink.remove('a/b');
	sink.listed();
	sink.forbidden?.(WHY);
}

const all = (name: string) =>
	['upsert a/b', 'remove a/b', 'listed', `forbidden ${WHY}`].map((c) => `${name} ${c}`);

function ends() {
	const calls: string[] = [];
	const sinks = {
		services: end(calls, 'services'),
		endpoints: end(calls, 'endpoints'),
		node: end(calls, 'node'),
	};
	return { calls, sinks };
}

describe.each(['services', 'endpoints', 'node'] as const)(
	'the calls of the watch of %s reach its end',
	(name) => {
		it('through all stages', () => {
			const { calls, sinks } = ends();
			const hostPorts = new HostPorts(sinks, 'endpointslices');
			hostPorts.pods.listed();
			const stages = pipeline({
				counted: sinks,
				dns: undefined,
				hostPorts,
				labels: new SocketLabels(() => {}),
				nodeName: 'node1',
				addresses() {},
			});
			each(stages[name]);
			expect(calls).toEqual(all(name));
		});

		it('through the observer', () => {
			const { calls, sinks } = ends();
			const sources = { counters: () => [], *maps() {}, *watches() {}, problems: () => [] };
			const metrics = createMetrics(
				{ ...sources, noLocalEndpoints: () => ({ internal: 0, external: 0 }), degradations: () => 0 },
				{ version: '', abi: '', node: '' },
			);
			each(new Observer(metrics).sinks(sinks)[name]);
			expect(calls).toEqual(all(name));
		});
	},
);

it('the calls of the watch of services reach their end through the names', () => {
	const { calls, sinks } = ends();
	const zone = new Zone({ name: 'cluster.local', server: 'kube-system/kube-dns', reverse: [] });
	each(new Feed(zone, () => {}).services(sinks.services));
	expect(calls).toEqual(all('services'));
});
