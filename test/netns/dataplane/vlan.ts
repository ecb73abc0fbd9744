/**
 * A VLAN device of the kernel, or its emulation by two programs on a veth for a kernel without
 * VLANs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Native } from '../../../agent/bpf/ffi/library.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { BpfObject } from '../../../agent/bpf/object.ts';
import { compileFile } from '../../bpf/binding-setup.ts';
import { attachToDevice } from '../../packet/attach.ts';
import type { Net } from '../../packet/net.ts';

export interface Vlan {
	ns: string;
	parent: string;
	name: string;
	tag: number;
	addresses: readonly string[];
}

/**
 * Adds a VLAN device. `serve` attaches the programs under test to it, which see packets without a
 * tag. The device goes with its namespace.
 */
export function addVlan(native: Native, net: Net, vlan: Vlan, serve: () => void = () => {}): void {
	const { ns, parent, name, tag, addresses } = vlan;
	const real = addReal(net, vlan);
	if (!real) {
		const [link] = JSON.parse(net.exec(ns, 'ip', '-j', 'link', 'show', parent));
		net.ip(
			ns,
			`link add ${name} address ${link.address} type veth peer name far${tag}`,
			`link set far${tag} up`,
		);
	}
	net.ip(ns, `link set ${name} up`, ...addresses.map((address) => `address add ${address} dev ${name}`));
	serve();
	if (!real) pretend(native, net, vlan);
}

function addReal(net: Net, { ns, parent, name, tag }: Vlan): boolean {
	try {
		net.ip(ns, `link add link ${parent} name ${name} type vlan id ${tag}`);
		return true;
	} catch (error) {
		if (/Unknown device type/.test((error as Error).message)) return false;
		throw error;
	}
}

/** Attaches the emulation after all other programs of both devices. */
function pretend(native: Native, net: Net, { ns, parent, name, tag }: Vlan): void {
	const indexes = { parent: net.ifindex(ns, parent), device: net.ifindex(ns, name) };
	const folder = mkdtempSync(join(tmpdir(), 'mlvlan-'));
	using switcher = new NetnsSwitcher();
	try {
		const source = join(import.meta.dirname, 'vlan.bpf.c');
		using object = BpfObject.open(native, compileFile(source, join(folder, 'vlan.bpf.o')));
		object.setRodata({ tag, ...indexes });
		object.load();
		// The links live as long as the descriptors of this process, which ends after the namespaces
		switcher.within(net.name(ns), () => {
			attachToDevice(native, object.program('vlan_in'), indexes.parent, 'ingress', 'last');
			attachToDevice(native, object.program('vlan_out'), indexes.device, 'egress', 'last');
		});
	} finally {
		rmSync(folder, { recursive: true });
	}
}
