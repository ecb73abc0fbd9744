/** Formats the reports as tables. */
import Table from 'cli-table3';
import type { DnsResult } from './dns.ts';
import type { PacketReport, PacketResult } from './packets.ts';
import { MANY } from './paths.ts';
import type { SocketResult } from './sockets.ts';

const line = { mid: '', 'mid-mid': '', 'left-mid': '', 'right-mid': '' };
const plain = { style: { head: [], border: [] }, chars: line };

/** Figures of other dataplanes from other runs on a similar machine, for orientation only. */
const ORIENTATION = [
	'For orientation, from other runs on a machine like this one, test run of 26 ns included, IPv4, one flow / 64Ki flows:',
	'  Katran (encapsulates, no NAT) 148 / 336 ns; Cilium (DNAT + SNAT + FIB) 593 / 1549 ns.',
];

export function packetTable({ empty, wrapper, results }: PacketReport): string {
	const table = new Table({
		head: ['ns a packet', 'hook', 'IPv4, 1 flow', 'IPv4, 64Ki', 'IPv6, 1 flow', 'IPv6, 64Ki', 'x empty'],
		colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right'],
		...plain,
	});
	const rows = [...new Map(results.map((one) => [`${one.path} ${one.hook}`, one])).values()];
	for (const { path, hook } of rows) {
		const find = (family: PacketResult['family'], flows: PacketResult['flows']) =>
			results.find(
				(one) => one.path === path && one.hook === hook && one.family === family && one.flows === flows,
			);
		const cell = (one: PacketResult | undefined) => (one ? `${one.ns}` : '');
		const first = find('v4', 1) ?? find('v4', 'new');
		const many = (family: PacketResult['family']) => cell(find(family, MANY) ?? find(family, 'new'));
		const ratio = first ? ((first.ns + empty[hook]) / empty[hook]).toFixed(1) : '';
		table.push([path, hook, cell(find('v4', 1)), many('v4'), cell(find('v6', 1)), many('v6'), ratio]);
	}
	return [
		table.toString(),
		`The test run itself is taken off: an empty program takes ${empty.XDP} ns (XDP), ${empty.TC} ns (TC); the wrapper that`,
		`restores the frame ${wrapper.XDP} and ${wrapper.TC} ns with it. x empty: (first figure + empty) / empty. New flows are all new.`,
		...ORIENTATION,
		'',
	].join('\n');
}

export function socketTable(results: readonly SocketResult[]): string {
	const table = new Table({
		head: [
			'from, to',
			'how',
			'IP',
			'TCP conn/s',
			'p50/p99 us',
			'p50 x',
			'UDP req/s',
			'p50/p99 us',
			'p50 x',
			'Gbit/s',
			'x',
		],
		colAligns: ['left', 'left', 'left', ...new Array<'right'>(8).fill('right')],
		...plain,
	});
	const rows = [...new Map(results.map((one) => [`${one.group} ${one.family} ${one.how}`, one])).values()];
	let group = '';
	for (const row of rows) {
		const find = (way: SocketResult['way']) =>
			results.find(
				(one) =>
					one.group === row.group && one.how === row.how && one.family === row.family && one.way === way,
			)!;
		const asked = (way: 'crr' | 'rr') => {
			const one = find(way);
			return [Math.round(one.perSecond), `${one.p50}/${one.p99}`, one.ratio.toFixed(2)];
		};
		const stream = find('stream');
		table.push([
			...[row.group === group ? '' : row.group, row.how, row.family],
			...asked('crr'),
			...asked('rr'),
			...[(stream.perSecond / 1e9).toFixed(2), stream.ratio.toFixed(2)],
		]);
		group = row.group;
	}
	return [
		table.toString(),
		'One client, one operation after the other, 64 bytes each way; a connection is made, used once and reset.',
		'x: over the same without a Service (direct); of p50 less is better, of Gbit/s more.',
		'Both ends and all nodes share this machine, so a stream is bounded by its CPUs. XDP on a veth ends its segmentation offload.',
		'',
	].join('\n');
}

export function dnsTable(results: readonly DnsResult[]): string {
	const table = new Table({
		head: ['DNS, A of 1000 Services', 'queries/s', 'per second of CPU'],
		colAligns: ['left', 'right', 'right'],
		...plain,
	});
	for (const { server, perSecond, perCpuSecond } of results) {
		table.push([server, Math.round(perSecond), Math.round(perCpuSecond)]);
	}
	const note =
		'UDP on loopback, 64 queries under way, each server alone on one core; dnsmasq has the names as host-records.';
	return [table.toString(), note, ''].join('\n');
}
