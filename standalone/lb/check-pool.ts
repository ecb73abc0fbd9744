/** Checks whether the network of the client and the nodes can carry the addresses of a pool. */
import { CLIENT_ADDRESSES, MAX_NODES, NODE_PREFIX, nodeAddresses } from '../net/addresses.ts';
import { AddressPool } from './pool.ts';

/** @throws RangeError naming the unusable address and the reason. */
export function checkPool(text: string): AddressPool {
	const pool = new AddressPool(text);
	for (const family of ['v4', 'v6'] as const) {
		const network = `${CLIENT_ADDRESSES[family]}/${NODE_PREFIX[family]}`;
		const outside = pool.outside(network);
		if (outside) throw new RangeError(`${outside} is not in the client's network, ${network}`);
		if (pool.contains(CLIENT_ADDRESSES[family]))
			throw new RangeError(`${CLIENT_ADDRESSES[family]} is the client's own address`);
	}
	for (let node = 1; node <= MAX_NODES; node++)
		for (const address of Object.values(nodeAddresses(node)))
			if (pool.contains(address))
				throw new RangeError(`${address} is for a node; begin behind ${lastNode()}`);
	const unusable = ['192.168.10.0', '192.168.10.255', 'fd00:10::'].find((address) => pool.contains(address));
	if (unusable) throw new RangeError(`${unusable} is no host's address`);
	return pool;
}

function lastNode(): string {
	return Object.values(nodeAddresses(MAX_NODES)).join(' and ');
}
