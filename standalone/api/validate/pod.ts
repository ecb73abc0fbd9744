import { isDeepStrictEqual } from 'node:util';
import { validateIps } from '../../alloc/service-validate-addresses.ts';
import type { ContainerDraft, Incoming, Pod, PodSpecDraft } from '../../port.ts';
import {
	duplicateField,
	type FieldError,
	forbiddenField,
	invalidField,
	requiredField,
	unsupportedField,
} from '../field-error.ts';
import { dnsLabel, portName, portNumber } from '../names.ts';
import { isOneOf } from '../one-of.ts';

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const RESTART = ['Always', 'Never', 'OnFailure'];
const DNS = ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'];
const PULL = ['Always', 'IfNotPresent', 'Never'];

function validateContainerPorts(ports: ContainerDraft['ports'], field: string): FieldError[] {
	if (ports === undefined) return [];
	if (!Array.isArray(ports)) return [invalidField(field, ports, 'must be a list')];
	const names = new Set<string>();
	return ports.flatMap((port, at) => {
		const here = `${field}[${at}]`;
		const faults: FieldError[] = [];
		if (port.name) {
			faults.push(...portName(port.name).map((fault) => invalidField(`${here}.name`, port.name, fault)));
			if (names.has(port.name)) faults.push(duplicateField(`${here}.name`, port.name));
			names.add(port.name);
		}
		if (!port.containerPort) faults.push(requiredField(`${here}.containerPort`));
		else
			for (const fault of portNumber(port.containerPort))
				faults.push(invalidField(`${here}.containerPort`, port.containerPort, fault));
		for (const fault of port.hostPort ? portNumber(port.hostPort) : [])
			faults.push(invalidField(`${here}.hostPort`, port.hostPort, fault));
		if (!isOneOf(PROTOCOLS, port.protocol))
			faults.push(unsupportedField(`${here}.protocol`, port.protocol, PROTOCOLS));
		return faults;
	});
}

function validateContainers(containers: ContainerDraft[], field: string, names: Set<string>): FieldError[] {
	if (!Array.isArray(containers)) return [invalidField(field, containers, 'must be a list')];
	return containers.flatMap((container, at) => {
		const here = `${field}[${at}]`;
		const faults: FieldError[] = [];
		if (typeof container !== 'object' || container === null)
			return [invalidField(here, container, 'must be an object')];
		if (!container.name) faults.push(requiredField(`${here}.name`));
		else {
			faults.push(
				...dnsLabel(container.name).map((fault) => invalidField(`${here}.name`, container.name, fault)),
			);
			if (names.has(container.name)) faults.push(duplicateField(`${here}.name`, container.name));
			names.add(container.name);
		}
		if (!container.image) faults.push(requiredField(`${here}.image`));
		if (!isOneOf(PULL, container.imagePullPolicy))
			faults.push(unsupportedField(`${here}.imagePullPolicy`, container.imagePullPolicy, PULL));
		faults.push(...validateContainerPorts(container.ports, `${here}.ports`));
		for (const [index, env] of (Array.isArray(container.env) ? container.env : []).entries())
			if (!env?.name) faults.push(requiredField(`${here}.env[${index}].name`));
		return faults;
	});
}

/** Validates a PodSpec. @param field its path. */
export function validatePodSpec(spec: PodSpecDraft | undefined, field: string): FieldError[] {
	const faults: FieldError[] = [];
	const names = new Set<string>();
	if (!spec?.containers || spec.containers.length === 0) faults.push(requiredField(`${field}.containers`));
	else faults.push(...validateContainers(spec.containers, `${field}.containers`, names));
	if (spec?.initContainers)
		faults.push(...validateContainers(spec.initContainers, `${field}.initContainers`, names));
	if (!isOneOf(RESTART, spec?.restartPolicy))
		faults.push(unsupportedField(`${field}.restartPolicy`, spec?.restartPolicy, RESTART));
	if (!isOneOf(DNS, spec?.dnsPolicy))
		faults.push(unsupportedField(`${field}.dnsPolicy`, spec?.dnsPolicy, DNS));
	for (const name of ['hostname', 'subdomain'] as const)
		if (spec?.[name])
			faults.push(
				...dnsLabel(spec[name]).map((fault) => invalidField(`${field}.${name}`, spec[name], fault)),
			);
	const grace = spec?.terminationGracePeriodSeconds;
	if (grace !== undefined && grace < 0)
		faults.push(
			invalidField(`${field}.terminationGracePeriodSeconds`, grace, 'must be greater than or equal to 0'),
		);
	return faults;
}

export function validatePod(pod: Incoming<Pod>): FieldError[] {
	const ips = pod.status?.podIPs?.map((entry) => entry?.ip);
	return [...validatePodSpec(pod.spec, 'spec'), ...validateIps('status.podIPs', ips, false)];
}

const MUTABLE =
	'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** The immutable part of a spec. The scheduler may set nodeName once. */
function fixedPart(spec: PodSpecDraft, nodeName: unknown): object {
	const images = (list: ContainerDraft[] = []) => list.map(({ image: _image, ...rest }) => rest);
	const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...rest } = spec;
	return {
		...rest,
		nodeName,
		containers: images(spec.containers),
		initContainers: images(spec.initContainers),
	};
}

export function validatePodUpdate(pod: Incoming<Pod>, old: Pod): FieldError[] {
	const nodeName = old.spec.nodeName ? pod.spec!.nodeName : undefined;
	if (isDeepStrictEqual(fixedPart(pod.spec!, nodeName), fixedPart(old.spec, old.spec.nodeName))) return [];
	return [forbiddenField('spec', MUTABLE)];
}
