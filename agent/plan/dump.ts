import {
	ADDRESS_WORDS,
	BackendFlag,
	FrontendFlag,
	ServiceAddressFlag,
	type ServiceCidrs,
} from '../abi/layout.ts';
import { ipOfBytes } from '../model/ip.ts';
import { addressBit, Bits, frontendBit, maskOf, wordOf } from './bits.ts';
import { backendName, isValid, type KernelState, sourceRangeName } from './kernel.ts';

/**
 * Content of the maps for people: sorted, one line for each entry, names instead of ids. Equal
 * content has equal text, whatever the ids. A table is shown as its size and the share of each
 * backend.
 * @param serviceName name of a Service port by id; ids without one are shown as numbers
 */
export function dumpKernel(kernel: KernelState, serviceName: (id: number) => string | undefined): string {
	const lines: string[] = [];
	for (const [name, { value }] of kernel.frontends) {
		const affinity = value.affinitySeconds === 0 ? '' : ` affinity ${value.affinitySeconds}s`;
		const service = serviceName(value.serviceId) ?? value.serviceId;
		const flags = flagNames(value.flags, FrontendFlag);
		lines.push(`frontend ${name} ${flags} service ${service}${affinity} -> ${tableText(kernel, value)}`);
	}
	for (const backend of kernel.backends.values()) {
		if (!isValid(backend)) continue;
		const local = backend.flags & BackendFlag.LOCAL ? ' local' : '';
		const service = serviceName(backend.serviceId) ?? backend.serviceId;
		lines.push(`backend ${backendName(backend)} service ${service}${local}`);
	}
	for (const key of kernel.sourceRanges.values()) {
		const [range] = sourceRangeName(key).split(' ');
		lines.push(`source ${range} service ${serviceName(key.serviceId) ?? key.serviceId}`);
	}
	lines.push(...frontendBitLines(kernel), ...addressLines(kernel), ...cidrLines(kernel.serviceCidrs));
	const { snatV4, snatV6 } = kernel.settings;
	lines.push(`settings snat ${ipOfBytes(snatV4).text} ${ipOfBytes(snatV6).text}`);
	return `${lines.sort().join('\n')}\n`;
}

/** One line for frontends that no packet finds, since their bit is clear. */
function frontendBitLines({ frontends, frontendBits }: KernelState): string[] {
	const hidden = [...frontends.values()].filter(({ key }) => {
		const bit = frontendBit(key);
		return (frontendBits[wordOf(bit)]! & maskOf(bit)) === 0n;
	});
	return hidden.length === 0 ? [] : [`frontend bits: ${hidden.length} frontends have none`];
}

/** Lines of the addresses, and one for words of bits that differ from them. */
function addressLines({ addresses, addressBits }: KernelState): string[] {
	const expected = new Bits(ADDRESS_WORDS);
	for (const { addr } of addresses.values()) expected.add(addressBit(addr));
	const wrong = expected.words.filter((word, index) => word !== addressBits[index]).length;
	return [
		...Array.from(
			addresses,
			([ip, { flags }]) => `address ${ip} ${flagNames(flags, ServiceAddressFlag) || '-'}`,
		),
		...(wrong === 0 ? [] : [`address bits: ${wrong} words are of other addresses`]),
	];
}

function cidrLines({ count, cidr }: ServiceCidrs): string[] {
	return cidr.slice(0, count).map(({ net, mask }) => {
		const bits = mask.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
		const ip = ipOfBytes(net);
		return `settings service CIDR ${ip.text}/${bits - (ip.family === 4 ? 96 : 0)}`;
	});
}

function flagNames(flags: number, names: Readonly<Record<string, number>>): string {
	const set = Object.entries(names).filter(([, bit]) => (flags & bit) !== 0);
	return set.map(([name]) => name.toLowerCase()).join(',');
}

function tableText(
	kernel: KernelState,
	value: { table: number; tableSize: number; backends: number },
): string {
	if (value.tableSize === 0) return 'none';
	const content = kernel.tables.get(value.table)?.content;
	if (!content) return `${value.tableSize} slots that are not there`;
	const shares = new Map<string, number>();
	const words = new DataView(content.buffer, content.byteOffset, content.byteLength);
	for (let slot = 0; slot < value.tableSize; slot++) {
		const id = words.getUint32(slot * 4, true);
		const backend = kernel.backends.get(id);
		const name = isValid(backend) ? backendName(backend) : `nothing (id ${id})`;
		shares.set(name, (shares.get(name) ?? 0) + 1);
	}
	const list = [...shares].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, share]) => `${name} x${share}`);
	return `${value.tableSize} slots, ${value.backends} backends: ${list.join(' ')}`;
}
