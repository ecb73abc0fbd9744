import type { StructCodec } from '../abi/struct.ts';
import { BpfError, type BpfErrorInit } from './error.ts';
import type { Native } from './ffi/library.ts';

/** Returns a non-negative result; throws for -errno. @throws BpfError */
export function check(result: number, operation: string, object: string, detail?: string): number {
	if (result >= 0) return result;
	const init: BpfErrorInit = { operation, object, errno: -result };
	throw new BpfError(detail === undefined ? init : { ...init, detail });
}

/** BPF_OBJ_GET_INFO_BY_FD: needs only the descriptor, no capability. */
export function infoOf<T extends object>(
	native: Native,
	fd: number,
	codec: StructCodec<T>,
	object: string,
): T {
	const info = new Uint8Array(codec.size);
	const length = new Uint8Array(4);
	new DataView(length.buffer).setUint32(0, codec.size, true);
	check(native.call.bpf_obj_get_info_by_fd(fd, info, length), 'read the info of', object);
	return codec.decode(info);
}

/** Opens a pin. @returns undefined when the pin does not exist. */
export function openPin(native: Native, path: string, object: string): number | undefined {
	const fd = native.call.bpf_obj_get(path);
	if (fd === -2) return undefined;
	return check(fd, 'open', `${object} pinned at ${path}`);
}
