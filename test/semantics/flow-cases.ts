/**
 * Section B of the catalogue as tables: a Service, its endpoints, and the destinations of flows
 * from each kind of client. The numbers are from kube-proxy's own tests. Two tests read the tables,
 * one for the translation and one for packets.
 */
import { parseIp } from '../../agent/model/ip.ts';
import { service, slice } from '../unit/reconcile-objects.ts';

export const NODE_IP = '192.168.0.2';
export const POD_IP = '10.0.0.2';
export const CLIENT_IP = '203.0.113.2';
export const NODE_PORT = 3001;

/** Addresses of the Service in these tables, with ports. */
const CLUSTER = '172.30.0.41:80';
const EXTERNAL = '192.168.99.11:80';
const LB = '1.2.3.4:80';
const AT_NODE = `${NODE_IP}:${NODE_PORT}`;
const OUTSIDE = [EXTERNAL, LB, AT_NODE];
const ALL = [CLUSTER, ...OUTSIDE];

/** r is ready, t is terminating and serving, n is terminating and not serving. */
export interface EndpointCase {
	readonly ip: string;
	readonly local: boolean;
	readonly state: 'r' | 't' | 'n';
}

export interface Flow {
	/** The client: a pod of this node, the node itself, an outside client, or the (only) endpoint. */
	readonly from: 'pod' | 'node' | 'ext' | 'self';
	readonly to: string;
	/**
	 * Sorted endpoints, REJECT or DROP. M follows where kube-proxy masquerades, so that replies
	 * return through this node. For local endpoints they do so without M.
	 */
	readonly want: string;
}

export interface FlowCase {
	/** The difference to other cases of the id. */
	readonly name: string;
	readonly spec: Readonly<Record<string, unknown>>;
	readonly endpoints: readonly EndpointCase[];
	readonly flows: readonly Flow[];
}

const local = (ip: string, state: EndpointCase['state'] = 'r'): EndpointCase => ({ ip, local: true, state });
const remote = (ip: string, state: EndpointCase['state'] = 'r'): EndpointCase => ({
	ip,
	local: false,
	state,
});

const flows = (from: readonly Flow['from'][], to: readonly string[], want: string): Flow[] =>
	from.flatMap((one) => to.map((address) => ({ from: one, to: address, want })));

const at = (...ips: readonly string[]) => ips.map((ip) => `${ip}:80`).join(',');
const EP1 = '10.180.0.1';
const EP2 = '10.180.2.1';
const BOTH = at(EP1, EP2);
const fifth = (last: number) => `10.180.1.${last}`;

/**
 * On this node two ready endpoints, one terminating and serving, one terminating and not serving.
 * One ready endpoint on another node.
 */
const FIVE = [local(fifth(1)), local(fifth(2)), local(fifth(3), 't'), local(fifth(4), 'n'), remote(fifth(5))];

const LOCAL = { externalTrafficPolicy: 'Local' };

const FLOWS = {
	'B-01': [
		{
			name: 'no endpoints',
			spec: {},
			endpoints: [],
			flows: flows(['pod', 'ext', 'node'], ALL, 'REJECT'),
		},
	],
	'B-02': [
		{
			name: 'one remote endpoint',
			spec: {},
			endpoints: [remote(EP1)],
			flows: flows(['pod'], [CLUSTER], at(EP1)),
		},
		{
			name: 'two remote endpoints',
			spec: {},
			endpoints: [remote(EP1), remote(EP2)],
			flows: flows(['pod'], [CLUSTER], BOTH),
		},
	],
	'B-05': [
		{
			name: 'the only endpoint is the client',
			spec: {},
			endpoints: [local(EP1)],
			flows: flows(['self'], ALL, `${at(EP1)} M`),
		},
	],
	'B-08a': [
		{
			name: 'one remote endpoint',
			spec: {},
			endpoints: [remote(EP1)],
			flows: flows(['ext', 'node'], [AT_NODE], `${at(EP1)} M`),
		},
	],
	'B-09': [
		{
			name: 'policy Local',
			spec: LOCAL,
			endpoints: [remote(EP1), local(EP2)],
			flows: [...flows(['pod'], ALL, BOTH), ...flows(['ext'], OUTSIDE, at(EP2))],
		},
	],
	'B-10': [
		{
			name: 'policy Cluster',
			spec: {},
			endpoints: [remote(EP1), local(EP2)],
			flows: [
				...flows(['pod'], [CLUSTER], BOTH),
				...flows(['pod'], OUTSIDE, `${BOTH} M`),
				...flows(['ext'], ALL, `${BOTH} M`),
			],
		},
	],
	'B-11': [
		{
			name: 'policy Cluster',
			spec: {},
			endpoints: [local(EP2), remote(EP1)],
			flows: [
				...flows(['pod'], [CLUSTER], BOTH),
				...flows(['pod'], [AT_NODE, LB], `${BOTH} M`),
				...flows(['node', 'ext'], [CLUSTER, AT_NODE, LB], `${BOTH} M`),
			],
		},
		{
			name: 'policy Local',
			spec: LOCAL,
			endpoints: [local(EP2), remote(EP1)],
			flows: [
				...flows(['pod'], [CLUSTER, AT_NODE, LB], BOTH),
				...flows(['node'], [CLUSTER, AT_NODE, LB], `${BOTH} M`),
				...flows(['ext'], [CLUSTER], `${BOTH} M`),
				...flows(['ext'], [AT_NODE, LB], at(EP2)),
			],
		},
	],
	'B-15': [
		{
			name: 'policy Cluster',
			spec: {},
			endpoints: [local(EP1), remote(EP2), remote('10.180.3.1')],
			flows: flows(['pod'], [CLUSTER], at(EP1, EP2, '10.180.3.1')),
		},
		{
			name: 'policy Local',
			spec: { internalTrafficPolicy: 'Local' },
			endpoints: [local(EP1), remote(EP2), remote('10.180.3.1')],
			flows: flows(['pod', 'node'], [CLUSTER], at(EP1)),
		},
		{
			name: 'policy Local, endpoints deleted',
			spec: { internalTrafficPolicy: 'Local' },
			endpoints: [],
			flows: flows(['pod', 'node'], [CLUSTER], 'REJECT'),
		},
	],
	'B R-3': [
		{
			name: 'internal Local, remote endpoint',
			spec: { internalTrafficPolicy: 'Local' },
			endpoints: [remote(EP1)],
			flows: [
				...flows(['pod', 'node'], [CLUSTER], 'DROP'),
				...flows(['pod', 'ext'], OUTSIDE, `${at(EP1)} M`),
			],
		},
		{
			name: 'external Local, remote endpoint',
			spec: LOCAL,
			endpoints: [remote(EP1)],
			flows: [...flows(['ext'], OUTSIDE, 'DROP'), ...flows(['pod'], ALL, at(EP1))],
		},
	],
	'B-17': [
		{
			name: 'some are ready',
			spec: LOCAL,
			endpoints: FIVE,
			flows: [
				...flows(['pod'], [CLUSTER], at(fifth(1), fifth(2), fifth(5))),
				...flows(['ext'], [LB], at(fifth(1), fifth(2))),
			],
		},
		{
			name: 'none is ready here',
			spec: LOCAL,
			endpoints: [local(fifth(3), 't'), local(fifth(4), 'n'), remote(fifth(5))],
			flows: [...flows(['pod'], [CLUSTER], at(fifth(5))), ...flows(['ext'], [LB], at(fifth(3)))],
		},
	],
	'B-19': [
		{
			name: 'some are ready',
			spec: {},
			endpoints: FIVE,
			flows: [
				...flows(['pod'], [CLUSTER], at(fifth(1), fifth(2), fifth(5))),
				...flows(['ext'], [LB], `${at(fifth(1), fifth(2), fifth(5))} M`),
			],
		},
		{
			name: 'none is ready',
			spec: {},
			endpoints: [local(fifth(2), 't'), local(fifth(3), 't'), local(fifth(4), 'n'), remote(fifth(5), 't')],
			flows: [
				...flows(['pod'], [CLUSTER], at(fifth(2), fifth(3), fifth(5))),
				...flows(['ext'], [LB], `${at(fifth(2), fifth(3), fifth(5))} M`),
			],
		},
		{
			name: 'all are deleted',
			spec: {},
			endpoints: [],
			flows: flows(['pod', 'ext'], [CLUSTER, LB], 'REJECT'),
		},
	],
	'B-20': [
		{
			name: 'only a remote one serves',
			spec: {},
			endpoints: [local(fifth(1), 'n'), remote(fifth(5), 't')],
			flows: [...flows(['pod'], [CLUSTER], at(fifth(5))), ...flows(['ext'], [LB], `${at(fifth(5))} M`)],
		},
		{
			name: 'none serves',
			spec: {},
			endpoints: [local(fifth(1), 'n'), remote(fifth(5), 'n')],
			flows: flows(['pod', 'ext'], [CLUSTER, LB], 'REJECT'),
		},
		{
			name: 'a ready one elsewhere',
			spec: {},
			endpoints: [local(fifth(1), 't'), remote(fifth(5))],
			flows: [...flows(['pod'], [CLUSTER], at(fifth(5))), ...flows(['ext'], [LB], `${at(fifth(5))} M`)],
		},
	],
} as const satisfies Record<string, readonly FlowCase[]>;

export type Family = 4 | 6;

/** The cases of an id in both families. */
export const flowCases = (id: keyof typeof FLOWS): (FlowCase & { readonly family: Family })[] =>
	FLOWS[id].flatMap((one) => ([4, 6] as const).map((family) => ({ ...one, family })));

/** The IPv4 address of a table, or its counterpart in IPv6. */
export function inFamily(ip: string, family: Family): string {
	return family === 4
		? ip
		: parseIp(`fd00:${ip.split('.').slice(0, 3).join(':')}::${ip.split('.')[3]}`)!.text;
}

/** Parses `address:port` of a table and converts it to the family. */
export function target(text: string, family: Family): { readonly ip: string; readonly port: number } {
	const [ip, port] = text.split(':') as [string, string];
	return { ip: inFamily(ip, family), port: Number(port) };
}

/** The Service of a case, as the API server returns it. */
export function serviceOf({ spec, family }: { spec: object; family: Family }): object {
	const of = (text: string) => target(text, family).ip;
	return service('ns/svc', {
		ips: [of(CLUSTER)],
		ports: [{ port: 80, protocol: 'TCP', targetPort: 80, nodePort: NODE_PORT }],
		spec: { type: 'LoadBalancer', externalIPs: [of(EXTERNAL)], ...spec },
		status: { loadBalancer: { ingress: [{ ip: of(LB) }] } },
	});
}

/** The EndpointSlice of a case. These tests run as node1. */
export function sliceOf({ endpoints, family }: Pick<FlowCase, 'endpoints'> & { family: Family }): object {
	return slice(
		'svc',
		endpoints.map(({ ip, local: here, state }) => ({
			ip: inFamily(ip, family),
			node: here ? 'node1' : 'node2',
			conditions: { ready: state === 'r', serving: state !== 'n', terminating: state !== 'r' },
		})),
		[{ port: 80, protocol: 'TCP' }],
	);
}
