import { describe, expect, it } from 'vitest';
import { parseEndpointSlice } from '../../agent/model/endpoints.ts';
import { endpointText, parseIp } from '../../agent/model/ip.ts';
import { parseNode } from '../../agent/model/node.ts';
import { parseService } from '../../agent/model/service.ts';
import { type Frontend, translate } from '../../agent/model/translate.ts';
import {
	type Family,
	type Flow,
	type FlowCase,
	flowCases,
	inFamily,
	NODE_IP,
	serviceOf,
	sliceOf,
	target,
} from '../semantics/flow-cases.ts';
import { node } from './reconcile-objects.ts';

type Case = FlowCase & { readonly family: Family };

function frontends(one: Case): readonly Frontend[] {
	const here = parseNode(node([inFamily(NODE_IP, one.family)]), 'node1').value;
	const slices = parseEndpointSlice(sliceOf(one), 'ns/svc-x').value;
	return translate(parseService(serviceOf(one), 'ns/svc').value, [slices], here).frontends;
}

/**
 * Possible destinations of a flow. Sockets and packets of the node and of its pods use the internal
 * scope.
 */
function verdict(all: readonly Frontend[], { family }: Case, { from, to }: Flow): string {
	const { ip, port } = target(to, family);
	const claim = `${endpointText(parseIp(ip)!, port)}/tcp`;
	const scope = from === 'ext' ? 'external' : 'internal';
	const found = all.find((f) => f.claim === claim && f.scope === scope);
	if (!found) return 'PASS';
	if (found.backends.length > 0) return found.backends.map((b) => b.key.replace('/tcp', '')).join();
	return found.drop ? 'DROP' : 'REJECT';
}

/** The expectation of the tables without the mark, which only applies to packets. */
function wanted({ family }: Case, { want }: Flow): string {
	const text = want.replace(' M', '');
	if (!text.includes(':')) return text;
	const endpoints = text.split(',').map((one) => target(one, family));
	return endpoints
		.map(({ ip, port }) => endpointText(parseIp(ip)!, port))
		.sort()
		.join();
}

function expectTable(one: Case): void {
	const all = frontends(one);
	expect(one.flows.map((flow) => verdict(all, one, flow))).toEqual(
		one.flows.map((flow) => wanted(one, flow)),
	);
}

describe('translate(): the endpoints of each client and address', () => {
	it.each(flowCases('B-01'))('IPv$family: every address refuses everyone, $name (B-01)', expectTable);
	it.each(flowCases('B-15'))('IPv$family: internalTrafficPolicy decides, $name (B-15)', expectTable);
	it.each(flowCases('B-20'))('IPv$family: terminating endpoints come last, $name (B-20, B R-2)', expectTable);
	it.each(flowCases('B R-3'))('IPv$family: policies rule their addresses only, $name (B R-3)', expectTable);
	it.each((['B-02', 'B-05', 'B-08a', 'B-09', 'B-10', 'B-11', 'B-17', 'B-19'] as const).flatMap(flowCases))(
		'IPv$family: as in packets, $name',
		expectTable,
	);
});
