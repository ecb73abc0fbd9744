import type { Command } from 'commander';
import { type AgentStatus, agentStatus, metricsAddressOption } from './agent-status.ts';
import { type CliContext, EXIT, ExitError } from './context.ts';
import { counterRows } from './counter-rows.ts';
import { frontendRows } from './frontend-rows.ts';
import { colors, type Format, formatOption, printValue } from './output.ts';
import { pinPathOption, withPins } from './pin-path.ts';

interface KernelStatus {
	readonly frontends: number;
	readonly services: number;
	readonly withoutBackends: number;
	readonly tableSegments: number;
	/** Links and programs by their pin names. */
	readonly links: readonly string[];
	/** Dropped packets by reason. */
	readonly drops: Readonly<Record<string, number>>;
}

/**
 * `maglane status`: state of the kernel and, if one runs, of the agent. Exit code 3 when degraded.
 */
export function registerStatus(program: Command, context: CliContext): void {
	program
		.command('status')
		.summary('show whether this node serves Services, and how well')
		.addOption(pinPathOption())
		.addOption(metricsAddressOption())
		.addOption(formatOption())
		.action(async (options: { pinPath: string; metricsAddress: string; output: Format }) => {
			const kernel = await kernelStatus(context, options.pinPath);
			const agent = await agentStatus(options.metricsAddress);
			const status = { kernel, agent: agent ?? null };
			if (options.output === 'table') context.stdout.write(describe(context, kernel, agent));
			else await printValue(context, options.output, status);
			if (agent === undefined || !agent.synced || agent.degradations.length > 0) {
				throw new ExitError('', EXIT.degraded);
			}
		});
}

function kernelStatus(context: CliContext, pinPath: string): Promise<KernelStatus> {
	return withPins(context, pinPath, (maps) => {
		const rows = frontendRows(maps);
		const drops = counterRows(maps.counters).filter((c) => c.reason.startsWith('drop_') && c.packets > 0n);
		return {
			frontends: rows.reduce((sum, row) => sum + row.scopes.length, 0),
			services: new Set(rows.map((row) => row.serviceId)).size,
			withoutBackends: rows.filter((row) => row.backends.length === 0).length,
			tableSegments: maps.tables.count,
			links: maps.links,
			drops: Object.fromEntries(drops.map(({ reason, packets }) => [reason, Number(packets)])),
		};
	});
}

function describe(context: CliContext, kernel: KernelStatus, agent: AgentStatus | undefined): string {
	const { bold, green, yellow } = colors(context);
	const lines: string[] = [];
	const field = (name: string, value: string): void => {
		lines.push(`${bold(name.padEnd(12))}${value}`);
	};
	if (agent === undefined)
		field(
			'Agent',
			yellow('no answer; BPF programs still serve the last known Services; check that the agent runs'),
		);
	else
		field('Agent', agent.synced ? green(`in sync (${agent.node})`) : yellow(`not in sync (${agent.node})`));
	field(
		'Services',
		`${kernel.services} ports, ${kernel.frontends} frontends, ${kernel.withoutBackends} without backends`,
	);
	const attached = agent ? attachments(agent) : pinned(kernel.links);
	for (const one of attached) field('Attached', one);
	if (attached.length === 0) field('Attached', yellow('nothing'));
	for (const [reason, packets] of Object.entries(kernel.drops)) field('Dropped', `${packets} ${reason}`);
	for (const [resource, watch] of Object.entries(agent?.watches ?? {})) {
		const state = watch.error
			? yellow(withRemedy(watch.error))
			: watch.listed
				? 'watching'
				: yellow('not listed yet');
		field('Watch', `${resource}: ${state}`);
	}
	if (agent?.lastError !== undefined)
		field(
			'Failing',
			yellow(`${agent.lastError}; BPF programs still serve the last written Services, and the agent retries`),
		);
	for (const degradation of agent?.degradations ?? []) field('Degraded', yellow(degradation));
	for (const { object, field: path, message } of agent?.problems ?? []) {
		field('Problem', yellow(`${object}${path ? ` ${path}` : ''}: ${message}`));
	}
	return `${lines.join('\n')}\n`;
}

/** Adds the remedy to the error of a watch if retries cannot fix it. */
function withRemedy(error: string): string {
	if (/: 403 /.test(error)) return `${error}; give the agent the rights of the ClusterRole in deploy/`;
	return /: 401 /.test(error) ? `${error}; its token or certificate is not valid any more` : error;
}

/**
 * One line for all targets with the same programs: `eth0: ml_xdp (native), ml_from_netdev (tcx)`.
 */
function attachments(agent: AgentStatus): string[] {
	const byTarget = Map.groupBy(agent.attachments, ({ target }) => target);
	const named = [...byTarget].map(([target, programs]) => {
		const modes = Map.groupBy(programs, ({ mode }) => mode);
		const text = [...modes].map(
			([mode, ones]) => `${ones.map(placed).join(' ')} (${mode}${ones.every(isFirst) ? ', first' : ''})`,
		);
		return { target, text: text.join(', ') };
	});
	return [...Map.groupBy(named, ({ text }) => text)].map(([text, ones]) => {
		const [first, ...others] = ones.map(({ target }) => target);
		return others.length < 2
			? `${[first, ...others].join(', ')}: ${text}`
			: `${first} and ${others.length} more: ${text}`;
	});
}

const isFirst = ({ mode, behind }: AgentStatus['attachments'][number]) => mode === 'tcx' && !behind;

/** A program, and the programs that packets pass before it. */
const placed = ({ program, behind = [] }: AgentStatus['attachments'][number]) =>
	behind.length === 0 ? program : `${program} behind ${behind.join(' and ')}`;

/** Without an agent, only the pin names are known: `from_pod on 11 devices`. */
function pinned(links: readonly string[]): string[] {
	const byProgram = Map.groupBy(links, (link) => link.replace(/_\d+$/, ''));
	return [...byProgram].map(([program, ones]) => {
		if (ones[0] === program) return program;
		return `${program} on ${ones.length} ${ones.length === 1 ? 'device' : 'devices'}`;
	});
}
