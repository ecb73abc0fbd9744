import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
	addPorts,
	formatPorts,
	type PortRange,
	parsePorts,
	subtractPorts,
} from '../../agent/bpf/reserved-ports.ts';

const range = fc
	.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 20 }))
	.map(([min, more]): PortRange => ({ min, max: min + more }));
const ranges = fc.array(range, { maxLength: 6 });
const ports = (list: readonly PortRange[]) =>
	list.flatMap(({ min, max }) => Array.from({ length: max - min + 1 }, (_, i) => min + i));

describe('parsePorts() and formatPorts()', () => {
	it.each(['', '8080', '80,8000-8010,61000-65535'])('keep what the kernel writes: "%s"', (text) => {
		expect(formatPorts(parsePorts(`${text}\n`))).toBe(text);
	});
});

describe('addPorts()', () => {
	it('has exactly the ports of both, sorted, in ranges that do not touch', () => {
		fc.assert(
			fc.property(ranges, ranges, (a, b) => {
				const sum = addPorts(a, b);
				expect(new Set(ports(sum))).toEqual(new Set([...ports(a), ...ports(b)]));
				for (let i = 1; i < sum.length; i++) expect(sum[i]!.min).toBeGreaterThan(sum[i - 1]!.max + 1);
			}),
		);
	});
});

describe('subtractPorts()', () => {
	it('has exactly the ports of the first that the second has not', () => {
		fc.assert(
			fc.property(ranges, ranges, (a, b) => {
				const taken = new Set(ports(b));
				const left = ports(a).filter((port) => !taken.has(port));
				expect(new Set(ports(subtractPorts(a, b)))).toEqual(new Set(left));
			}),
		);
	});
});
