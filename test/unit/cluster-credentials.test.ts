/**
 * Tests the keys and certificates of a cluster: access to them, a second `up`, and a clock that
 * steps.
 */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { hasCommand } from '../../scripts/machine.ts';
import { createApi } from '../../standalone/api/index.ts';
import { createTokens, steadyClock } from '../../standalone/auth/tokens.ts';
import { openCredentials } from '../../standalone/cluster/credentials.ts';
import type { ClusterOptions } from '../../standalone/cluster/options.ts';
import { pathsOf } from '../../standalone/cluster/paths.ts';

let directory: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'mld-pki-'));
});
afterEach(() => {
	vi.useRealTimers();
	rmSync(directory, { recursive: true });
});

const open = (more: Partial<ClusterOptions> = {}) => {
	const families: ClusterOptions['families'] = ['v4', 'v6'];
	const options = { nodes: 2, families, network: true, ...more } as ClusterOptions;
	return openCredentials(options, pathsOf(directory));
};
const file = (name: string) => join(directory, 'pki', name);
const serial = (cert: string) => new X509Certificate(cert).serialNumber;

test('lie in a directory and in files of their owner alone', async () => {
	await open();
	expect(lstatSync(join(directory, 'pki')).mode & 0o777).toBe(0o700);
	expect(readdirSync(join(directory, 'pki')).toSorted()).toEqual(['ca.crt', 'ca.key', 'sa.key']);
	for (const name of readdirSync(join(directory, 'pki')))
		expect(lstatSync(file(name)).mode & 0o777).toBe(0o600);
});

test('the next up keeps the authority and the key of tokens, and signs every certificate again', async () => {
	const first = await open();
	const second = await open();
	expect(second.authority).toBe(first.authority);
	expect(second.tokenKey).toBe(first.tokenKey);
	const authority = new X509Certificate(first.authority);
	for (const [one, other] of [
		[first.server, second.server],
		[first.admin, second.admin],
		[await first.agent('node1'), await second.agent('node1')],
	] as const) {
		expect(serial(one.cert)).not.toBe(serial(other.cert));
		for (const { cert } of [one, other])
			expect(new X509Certificate(cert).verify(authority.publicKey)).toBe(true);
	}
});

test('another cluster has another authority', async () => {
	const first = await open();
	rmSync(join(directory, 'pki'), { recursive: true });
	expect((await open()).authority).not.toBe(first.authority);
});

test.each([
	['v4 alone', ['v4'], '192.168.10.11', 'fd00:10::11'],
	['v6 alone', ['v6'], undefined, '192.168.10.11'],
] as const)('the server is known by its names in %s', async (_what, families, served, foreign) => {
	const { server } = await open({ families: [...families] });
	const cert = new X509Certificate(server.cert);
	for (const name of ['localhost', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'])
		expect(cert.checkHost(name)).toBe(name);
	expect(cert.checkHost('evil.example')).toBeUndefined();
	expect(cert.checkIP('127.0.0.1')).toBe('127.0.0.1');
	if (served) expect(cert.checkIP(served)).toBe(served);
	expect(cert.checkIP(foreign)).toBeUndefined();
});

describe('what was changed', () => {
	const REMEDY = /remove both to get new ones, or the cluster with "maglane standalone down"/;
	test.each(['ca.crt', 'ca.key', 'sa.key'])('%s that was cut off is named, with the remedy', async (name) => {
		await open();
		writeFileSync(file(name), readFileSync(file(name), 'utf8').slice(0, 80));
		const failure = await open().catch((error: Error) => error.message);
		expect(failure).toContain(`Cannot read ${file(name)}: it was changed or cut off`);
		expect(failure).toMatch(REMEDY);
	});
	test('an authority with the key of another is named', async () => {
		await open();
		const key = readFileSync(file('ca.key'), 'utf8');
		rmSync(join(directory, 'pki'), { recursive: true });
		await open();
		writeFileSync(file('ca.key'), key);
		await expect(open()).rejects.toThrow(`Cannot use ${file('ca.crt')}: ${file('ca.key')} is not its key`);
		await expect(open()).rejects.toThrow(REMEDY);
	});
});

describe('a clock that steps', () => {
	const YEARS = [1971, 2000, 2026, 2038, 2106, 5000, 9998];
	test.each(YEARS)(
		'to the year %i leaves the certificates valid',
		{ skip: !hasCommand('openssl') },
		async (year) => {
			const { authority, server, admin } = await open();
			const agent = await (await open()).agent('node1');
			writeFileSync(join(directory, 'ca'), authority);
			const at = String(Date.UTC(year, 6) / 1000);
			for (const [purpose, { cert }] of [
				['sslserver', server],
				['sslclient', admin],
				['sslclient', agent],
			] as const) {
				writeFileSync(join(directory, 'cert'), cert);
				const args = ['-x509_strict', '-purpose', purpose, '-attime', at, '-CAfile', join(directory, 'ca')];
				const said = execFileSync('openssl', ['verify', ...args, join(directory, 'cert')], {
					encoding: 'utf8',
				});
				expect(said).toContain('cert: OK');
			}
		},
	);

	test.each(YEARS)('to the year %i leaves tokens valid, and no longer than they were', async (year) => {
		const { tokenKey } = await open();
		const { objects } = createApi();
		const account = objects.create('serviceaccounts', { metadata: { name: 'a', namespace: 'default' } });
		vi.useFakeTimers({ toFake: ['Date', 'performance'] });
		vi.setSystemTime(Date.UTC(2026, 0));
		const tokens = createTokens(tokenKey, objects, steadyClock());
		const { token } = await tokens.issue({ account, seconds: 600 });
		vi.setSystemTime(Date.UTC(year, 0));
		expect(await tokens.verify(token)).toMatchObject({ name: 'system:serviceaccount:default:a' });
		vi.advanceTimersByTime(599_000);
		expect(await tokens.verify(token)).toBeDefined();
		vi.advanceTimersByTime(2_000);
		expect(await tokens.verify(token)).toBeUndefined();
	});
});
