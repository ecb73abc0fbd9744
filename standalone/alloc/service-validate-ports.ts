import {
	duplicateField,
	type FieldError,
	forbiddenField,
	invalidField,
	requiredField,
	unsupportedField,
} from '../api/field-error.ts';
import { dnsLabel, type NameRule, portName, portNumber, qualifiedName } from '../api/names.ts';
import type { ServicePortDraft, ServiceSpecDraft } from '../port.ts';
import { isHeadless, mayHaveNodePorts } from './service-facts.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];

const ruled = (field: string, value: unknown, rule: NameRule): FieldError[] =>
	typeof value === 'string'
		? rule(value).map((fault) => invalidField(field, value, fault))
		: [invalidField(field, value, 'must be a string')];

/** A targetPort is a port number or a port name. */
export function validateTargetPort(field: string, value: unknown): FieldError[] {
	if (typeof value === 'string') return ruled(field, value, portName);
	return portNumber(value).map((fault) => invalidField(field, value, fault));
}

function validatePort(port: ServicePortDraft, field: string, spec: ServiceSpecDraft): FieldError[] {
	const faults: FieldError[] = [];
	if (port.name === undefined) {
		if (spec.ports!.length > 1) faults.push(requiredField(`${field}.name`));
	} else faults.push(...ruled(`${field}.name`, port.name, dnsLabel));
	faults.push(...portNumber(port.port).map((fault) => invalidField(`${field}.port`, port.port, fault)));
	if (!port.protocol) faults.push(requiredField(`${field}.protocol`));
	else if (!PROTOCOLS.includes(port.protocol))
		faults.push(unsupportedField(`${field}.protocol`, port.protocol, PROTOCOLS));
	faults.push(...validateTargetPort(`${field}.targetPort`, port.targetPort));
	if (port.appProtocol !== undefined)
		faults.push(...ruled(`${field}.appProtocol`, port.appProtocol, qualifiedName));
	if (port.nodePort === undefined) return faults;
	if (!Number.isInteger(port.nodePort))
		faults.push(invalidField(`${field}.nodePort`, port.nodePort, 'must be an integer'));
	if (!mayHaveNodePorts(spec))
		faults.push(forbiddenField(`${field}.nodePort`, `may not be used when \`type\` is '${spec.type}'`));
	return faults;
}

function validateUnique(ports: ServicePortDraft[]): FieldError[] {
	const faults: FieldError[] = [];
	const [names, numbers, nodePorts] = [new Set<string | undefined>(), new Set<string>(), new Set<string>()];
	for (const [at, port] of ports.entries()) {
		const field = `spec.ports[${at}]`;
		if (port.name !== undefined && names.has(port.name))
			faults.push(duplicateField(`${field}.name`, port.name));
		names.add(port.name);
		const number = `${port.protocol}/${port.port}`;
		if (numbers.has(number)) faults.push(duplicateField(field, { protocol: port.protocol, port: port.port }));
		numbers.add(number);
		if (!port.nodePort) continue;
		const nodePort = `${port.protocol}/${port.nodePort}`;
		if (nodePorts.has(nodePort)) faults.push(duplicateField(`${field}.nodePort`, port.nodePort));
		nodePorts.add(nodePort);
	}
	return faults;
}

/** Validates spec.ports. */
export function validateServicePorts(spec: ServiceSpecDraft): FieldError[] {
	const ports = spec.ports ?? [];
	if (!Array.isArray(ports)) return [invalidField('spec.ports', ports, 'must be a list')];
	if (ports.length === 0)
		return isHeadless(spec) || spec.type === 'ExternalName' ? [] : [requiredField('spec.ports')];
	if (ports.some((port) => typeof port !== 'object' || port === null))
		return [invalidField('spec.ports', ports, 'must be a list of objects')];
	const each = ports.flatMap((port, at) => validatePort(port, `spec.ports[${at}]`, spec));
	return [...each, ...validateUnique(ports)];
}
