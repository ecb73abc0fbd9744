import type { Transport } from './transport.ts';

/** An Event about a Service for `kubectl get events`. */
export interface ServiceEvent {
	/** namespace/name */
	readonly service: string;
	/** A word for programs: `FailedToStartServiceHealthcheck`. */
	readonly reason: string;
	/** The attempted action: `Listen`. */
	readonly action: string;
	readonly message: string;
}

export interface EventWriterOptions {
	readonly transport: Transport;
	readonly nodeName: string;
	readonly log: { warn(fields: object, event: string): void };
	/** Milliseconds since 1970. */
	readonly now: () => number;
	readonly signal: AbortSignal;
}

/**
 * @returns a function that writes a warning without waiting; if the API server refuses it, it is
 * only logged
 */
export function eventWriter(options: EventWriterOptions): (event: ServiceEvent) => void {
	const { transport, log, signal } = options;
	const write = async (event: ServiceEvent): Promise<void> => {
		const object = eventObject(event, options);
		const path = `/api/v1/namespaces/${object.metadata.namespace}/events`;
		const { status, body } = await transport.post(path, object, signal);
		body.resume();
		if (status >= 400) throw new Error(`POST ${path} was answered with ${status}`);
	};
	return (event) => {
		write(event).catch((err: unknown) => {
			if (!signal.aborted) log.warn({ service: event.service, reason: event.reason, err }, 'event.lost');
		});
	};
}

function eventObject(event: ServiceEvent, { nodeName, now }: EventWriterOptions) {
	const [namespace, name] = event.service.split('/') as [string, string];
	const time = new Date(now()).toISOString().replace(/\.\d+Z$/, 'Z');
	return {
		apiVersion: 'v1',
		kind: 'Event',
		metadata: { namespace, generateName: `${name}.` },
		involvedObject: { apiVersion: 'v1', kind: 'Service', namespace, name },
		type: 'Warning',
		reason: event.reason,
		action: event.action,
		message: event.message,
		firstTimestamp: time,
		lastTimestamp: time,
		count: 1,
		source: { component: 'maglane', host: nodeName },
		reportingComponent: 'maglane',
		reportingInstance: nodeName,
	};
}
