/** A VLAN device: the kernel's, or two programs on a veth that do the same where the kernel has none. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Native } from '../../../agent/bpf/ffi/native.ts';
import { attachTcx } from '../../../agent/bpf/link.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { BpfObject } from '../../../agent/bpf/object.ts';
import { compileFile } from '../../bpf/binding-setup.ts';
import type { Net } from '../../packet/net.ts';

export interface Vlan {
	ns: string;
	parent: string;
	name: string;
	tag: number;
	addresses: readonly string[];
}

/** `serve` attaches the programs under test to the device: they see packets without a tag. Gone with its namespace. */
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

/** Behind all other programs of both devices. */
function pretend(native: Native, net: Net, { ns, parent, name, tag }: Vlan): void {
	const indexes = { parent: net.ifindex(ns, parent), device: net.ifindex(ns, name) };
	const folder = mkdtempSync(join(tmpdir(), 'mlvlan-'));
	using switcher = new NetnsSwitcher();
	try {
		const source = join(import.meta.dirname, 'vlan.bpf.c');
		using object = BpfObject.open(native, compileFile(source, join(folder, 'vlan.bpf.o')));
		object.setRodata({ tag, ...indexes });
		object.load();
		// links live as long as their descriptors: those of this process, which ends after the namespaces
		switcher.within(net.name(ns), () => {
			attachTcx(native, object.program('vlan_in'), indexes.parent, 'ingress');
			attachTcx(native, object.program('vlan_out'), indexes.device, 'egress');
		});
	} finally {
		rmSync(folder, { recursive: true });
	}
}
