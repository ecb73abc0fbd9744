/** Another user of the machine cannot read or change the kernel objects of a running agent. */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestNode } from './dataplane-node.ts';
import { asUser, OTHER } from './other-user.ts';

let node: TestNode;
let pins: readonly string[];
beforeAll(async () => {
	node = new TestNode('mld-pins');
	await node.open();
	pins = readdirSync(node.pins).map((name) => join(node.pins, name));
});
afterAll(async () => {
	await node?.stop();
	node?.remove();
});

/** Each command must succeed for root, which shows that it works. */
const TRIES: readonly [what: string, command: () => string][] = [
	['list the pins', () => `ls ${node.pins}`],
	['dump a map by its pin', () => `bpftool map dump pinned ${node.pins}/counters`],
	['dump a map by its name', () => 'bpftool map dump name counters'],
	['list programs', () => 'bpftool prog list'],
	['open a link', () => `bpftool link show pinned ${node.pins}/link_connect4`],
	['see the programs of the cgroup', () => `bpftool cgroup show ${node.cgroup}`],
	['touch a pin', () => `test -e ${node.pins}/counters`],
	['rename the directory of pins', () => `mv ${node.pins} ${node.pins}x && mv ${node.pins}x ${node.pins}`],
];
it.each(TRIES)('cannot %s, as root can', async (_what, command) => {
	expect(await asUser(OTHER, command())).not.toBe(0);
	expect(await asUser(0, command())).toBe(0);
});

it('cannot open a pin by the modes of the pins themselves', () => {
	expect(pins.length).toBeGreaterThan(15);
	for (const pin of pins) expect([pin, lstatSync(pin).mode & 0o077]).toEqual([pin, 0]);
});
