import { type Command, Option } from 'commander';
import { printable } from '../base/printable.ts';
import { serviceVariables } from '../model/service-env.ts';
import type { CliContext } from './context.ts';
import { type Column, type Format, printRows } from './output.ts';

interface Variable {
	readonly name: string;
	readonly value: string;
}

interface Options {
	readonly namespace: string;
	readonly serviceLinks: boolean;
	readonly kubeconfig?: string;
	readonly output: Format | 'export';
}

const COLUMNS: readonly Column<Variable>[] = [
	{ title: 'NAME', text: ({ name }) => name },
	{ title: 'VALUE', text: ({ value }) => value },
];

/** `maglane env`: the Service variables of a pod that starts now. */
export function registerEnv(program: Command, context: CliContext): void {
	program
		.command('env')
		.summary('show the Service variables that a pod of a namespace is given')
		.description(
			'The variables that the containers of a pod of the namespace would be given if it started now. A variable that a container sets itself wins over these. `eval "$(maglane env -o export)"` puts them in a shell.',
		)
		.option('-n, --namespace <name>', "the pod's namespace", 'default')
		.option('--no-service-links', 'as with enableServiceLinks: false')
		.option(
			'--kubeconfig <file>',
			'default: KUBECONFIG, .maglane/kubeconfig, ~/.kube/config, the service account of a pod',
		)
		.addOption(
			new Option('-o, --output <format>', 'how to print')
				.choices(['table', 'export', 'json', 'yaml'])
				.default('table'),
		)
		.action(async ({ namespace, serviceLinks, kubeconfig, output }: Options) => {
			const services = await context.listServices(kubeconfig);
			const variables = [...serviceVariables(services, namespace, serviceLinks)].map(([name, value]) => ({
				name,
				value,
			}));
			if (output !== 'export') await printRows(context, output, COLUMNS, variables);
			else for (const variable of variables) context.stdout.write(exportLine(variable));
		});
}

/** A line for eval, whatever the API server sent. Empty for a name that a shell does not take. */
function exportLine({ name, value }: Variable): string {
	if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return '';
	return `export ${name}='${printable(value).replaceAll("'", "'\\''")}'\n`;
}
