/** Pseudoterminals (pty(7)): both ends and the window size. Node has no API for these ioctls. */
import { closeSync, constants, openSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { getSystemErrorName } from 'node:util';
import { koffiDriver } from './ffi/koffi.ts';
import { SIGNATURES, SONAMES } from './ffi/signatures.ts';

/** asm-generic/ioctls.h, as on x86 and arm64. */
const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;

export interface Pty {
	/**
	 * The terminal's output and input; fails with EIO when the last program on the terminal exits.
	 */
	readonly stream: ReadStream;
	/** Path of the end for programs. */
	readonly path: string;
	resize(columns: number, rows: number): void;
}

/** @throws Error with the errno name. */
export function openPty(): Pty {
	const driver = koffiDriver();
	const call = driver.symbol(SONAMES.libc, 'ioctl', SIGNATURES.ioctl);
	if (!call) throw new Error(`Cannot make a terminal: ${SONAMES.libc} lacks ioctl`);
	const fd = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY);
	const ioctl = (request: number, argument: Uint8Array, what: string) => {
		if (Number(call([fd, request, argument])) >= 0) return;
		throw new Error(`Cannot ${what}: ${getSystemErrorName(-driver.errno())}`);
	};
	try {
		ioctl(TIOCSPTLCK, new Uint8Array(4), 'unlock a terminal');
		const number = new Uint8Array(4);
		ioctl(TIOCGPTN, number, 'name a terminal');
		return {
			stream: new ReadStream(fd),
			path: `/dev/pts/${new DataView(number.buffer).getUint32(0, true)}`,
			// struct winsize: rows, columns, and two unused fields
			resize: (columns, rows) =>
				ioctl(TIOCSWINSZ, new Uint8Array(Uint16Array.of(rows, columns, 0, 0).buffer), 'resize a terminal'),
		};
	} catch (error) {
		closeSync(fd);
		throw error;
	}
}
