import { child, type Json } from './read.ts';

/** Labels that exclude an object from this proxy, with any value (KEP-2447, headless Services). */
const NOT_OURS = ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless'];

/** Whether a label leaves a Service, an EndpointSlice or Endpoints to another proxy, or to none. */
export function isNotOurs(object: Json): boolean {
	const labels = child(child(object, 'metadata'), 'labels');
	return NOT_OURS.some((label) => Object.hasOwn(labels, label));
}
