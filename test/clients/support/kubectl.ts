/** kubectl as a client. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Json } from '../../e2e/support/environment.ts';
import type { Client, KindFacts } from './facts.ts';
import { NAMESPACE } from './facts.ts';

interface Ended {
	readonly code: number;
	readonly out: string;
	readonly err: string;
}

type Run = (args: readonly string[], input?: object) => Promise<Ended>;

interface Described {
	readonly resource: string;
	object(name: string): Json;
	values(object: Json): Record<string, string>;
}

const KINDS: Record<'ConfigMap' | 'Service', Described> = {
	ConfigMap: {
		resource: 'configmaps',
		object: (name) => ({
			apiVersion: 'v1',
			kind: 'ConfigMap',
			metadata: { name },
			data: { value: 'one' },
		}),
		values: ({ data }) => data,
	},
	Service: {
		resource: 'services',
		object: (name) => ({
			apiVersion: 'v1',
			kind: 'Service',
			metadata: { name },
			spec: { selector: { value: 'one' }, ports: [{ port: 80 }] },
		}),
		values: ({ spec }) => spec.selector,
	},
};

function runner(kubeconfig: string): Run {
	const options = ['--kubeconfig', kubeconfig, '--namespace', NAMESPACE];
	return (args, input) =>
		new Promise((done) => {
			const child = execFile('kubectl', [...options, ...args], (error, out, err) =>
				done({ code: error ? 1 : 0, out, err }),
			);
			child.stdin?.end(input && JSON.stringify(input));
		});
}

async function json(run: Run, args: readonly string[], input?: object): Promise<Json> {
	const { code, out, err } = await run([...args, '-o', 'json'], input);
	if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${err}`);
	return JSON.parse(out);
}

/** The status for the reason in kubectl's error message, 200 on success. */
function codeOf({ code, err }: Ended): number {
	const reason = /^Error from server \((\w+)\)/m.exec(err)?.[1] ?? err;
	return code === 0 ? 200 : (({ Conflict: 409, NotFound: 404 } as Record<string, number>)[reason] ?? 0);
}

/** Starts a watch, then calls `make`. @returns the event of the watch for the name */
async function seen(kubeconfig: string, resource: string, name: string, make: () => Promise<void>) {
	const columns = 'custom-columns=:type,:object.metadata.name';
	const select = ['--watch', '--output-watch-events', '--field-selector', `metadata.name=${name}`];
	const show = ['--no-headers', '-o', columns];
	const args = ['--kubeconfig', kubeconfig, '-n', NAMESPACE, 'get', resource, ...select, ...show];
	const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'ignore'] });
	try {
		const line = once(createInterface({ input: child.stdout }), 'line', {
			signal: AbortSignal.timeout(20_000),
		});
		await make();
		return String((await line)[0])
			.trim()
			.split(/\s+/)
			.join(' ');
	} finally {
		child.kill();
	}
}

async function kindFacts(kubeconfig: string, of: Described, name: string): Promise<KindFacts> {
	const run = runner(kubeconfig);
	const value = (object: Json) => of.values(object)['value']!;
	let created: Json;
	const watched = await seen(kubeconfig, of.resource, name, async () => {
		created = await json(run, ['create', '-f', '-'], of.object(name));
	});
	const listed = (await run(['get', of.resource, '-o', 'name'])).out.includes(`/${name}\n`);
	const changed = await json(run, ['get', of.resource, name]);
	const stale = structuredClone(changed);
	of.values(changed)['value'] = 'two';
	const updated = value(await json(run, ['replace', '-f', '-'], changed));
	const conflict = codeOf(await run(['replace', '-f', '-'], stale));
	const difference = of.resource === 'services' ? { spec: { selector: THREE } } : { data: THREE };
	const patched = value(await json(run, ['patch', of.resource, name, '-p', JSON.stringify(difference)]));
	await run(['delete', of.resource, name]);
	const deleted = codeOf(await run(['get', of.resource, name]));
	return { created: value(created), watched, listed, updated, conflict, patched, deleted };
}

const THREE = { value: 'three' };

export const kubectl: Client = {
	async facts(kubeconfig, name) {
		const { serverVersion } = await json(runner(kubeconfig), ['version']);
		return {
			version: serverVersion.gitVersion,
			ConfigMap: await kindFacts(kubeconfig, KINDS.ConfigMap, name),
			Service: await kindFacts(kubeconfig, KINDS.Service, name),
		};
	},
};
