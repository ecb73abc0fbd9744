import { type Ip, isLoopback, parseStoredIp, unusable } from './ip.ts';
import type { Problem, Protocol } from './types.ts';

/** A JSON object. Only own properties are read, so `__proto__` is an ordinary name. */
export type Json = Readonly<Record<string, unknown>>;

export function isJson(value: unknown): value is Json {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object in a field, or an empty object. */
export function child(json: Json, field: string): Json {
	const value = own(json, field);
	return isJson(value) ? value : {};
}

function own(json: Json, field: string): unknown {
	return Object.hasOwn(json, field) ? json[field] : undefined;
}

/** Reads one object; collects problems, never throws. `null` means absent, as in Kubernetes. */
export class Reader {
	readonly problems: Problem[] = [];
	readonly #object: string;

	/** @param object `Service default/web` */
	constructor(object: string) {
		this.#object = object;
	}

	report(field: string, message: string): undefined {
		this.problems.push({ object: this.#object, field, message });
		return undefined;
	}

	/** @returns '' when absent or not a string; the latter is reported. */
	text(json: Json, field: string, path: string): string {
		const value = own(json, field) ?? '';
		if (typeof value === 'string') return value;
		this.report(path, `is ${show(value)}, expected a string`);
		return '';
	}

	/** @returns undefined when absent or not a boolean; the latter is reported. */
	flag(json: Json, field: string, path: string): boolean | undefined {
		const value = own(json, field) ?? undefined;
		if (value === undefined || typeof value === 'boolean') return value;
		return this.report(path, `is ${show(value)}, expected true or false`);
	}

	list(json: Json, field: string, path: string): readonly unknown[] {
		const value = own(json, field) ?? [];
		if (Array.isArray(value)) return value;
		this.report(path, `is ${show(value)}, expected a list`);
		return [];
	}

	/** The objects of a list with their paths. Other items are reported. */
	objects(json: Json, field: string, path: string): [Json, string][] {
		return this.list(json, field, path).flatMap((item, i): [Json, string][] => {
			if (isJson(item)) return [[item, `${path}[${i}]`]];
			this.report(`${path}[${i}]`, `is ${show(item)}, expected an object`);
			return [];
		});
	}

	strings(json: Json, field: string, path: string): [string, string][] {
		return this.list(json, field, path).flatMap((item, i): [string, string][] => {
			if (typeof item === 'string') return [[item, `${path}[${i}]`]];
			this.report(`${path}[${i}]`, `is ${show(item)}, expected a string`);
			return [];
		});
	}

	/** A port 1-65535. @returns undefined when absent or invalid; the latter is reported. */
	port(json: Json, field: string, path: string): number | undefined {
		const value = own(json, field) ?? undefined;
		if (value === undefined) return undefined;
		if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535) return value;
		return this.report(path, `is ${show(value)}, expected a port 1-65535`);
	}

	/** TCP when absent. @returns undefined when unsupported or invalid, which is reported. */
	protocol(json: Json, path: string): Protocol | undefined {
		const value = own(json, 'protocol') ?? 'TCP';
		if (value === 'TCP') return 'tcp';
		if (value === 'UDP') return 'udp';
		if (value === 'SCTP') return this.report(path, 'SCTP is unsupported, use TCP or UDP');
		return this.report(path, `is ${show(value)}, expected TCP or UDP`);
	}

	/**
	 * Reads an address that a Service or an endpoint may have.
	 * @param loopback allows loopback addresses
	 */
	ip(text: string, path: string, loopback = false): Ip | undefined {
		const ip = parseStoredIp(text);
		if (!ip) return this.report(path, `${show(text)} is no IP address (no spaces, no zone)`);
		const reason = loopback && isLoopback(ip) ? undefined : unusable(ip);
		return reason === undefined ? ip : this.report(path, `${text} ${reason}, use a routable unicast address`);
	}
}

/** Formats a value for a message. */
export function show(value: unknown): string {
	if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
	if (Array.isArray(value)) return 'a list';
	return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
