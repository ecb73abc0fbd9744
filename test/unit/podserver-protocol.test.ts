import { expect, test } from 'vitest';
import {
	answerHttp,
	answerUdp,
	formatPeer,
	looksLikeHttp,
	plainAddress,
	type ServedPod,
} from '../../standalone/podserver/protocol.ts';

const pod: ServedPod = { hostname: 'web-1', behaviour: 'netexec', terminating: false };
const peer = { address: '10.244.1.2', port: 4711 };
const get = (target: string, served = pod) =>
	answerHttp(served, {
		method: 'GET',
		target,
		headers: { 'x-a': 'b', accept: ['c', 'd'] },
		peer,
		port: 8080,
		now: new Date('2026-01-02T03:04:05Z'),
	});

test.each([
	['/hostname', 200, 'web-1'],
	['/hostName', 200, 'web-1'],
	['/clientip', 200, '10.244.1.2:4711'],
	['/serverport', 200, '8080'],
	['/echo?msg=a%20b%2Bc', 200, 'a b+c'],
	['/echo?msg=gone&code=410', 410, 'gone'],
	['/echo?code=x', 200, 'argument \'code\' must be an integer or empty, got "x"\n'],
	['/echo?code=7', 500, 'status 7 cannot be sent\n'],
	[`/echo?msg=${'42'.repeat(1000)}`, 200, '42'.repeat(1000)],
	['/healthz', 200, ''],
	['/readyz', 200, 'ok'],
	['/header?key=X-A', 200, 'b'],
	['/header?key=Accept', 200, 'c'],
	['/header?key=none', 200, ''],
	['/', 200, 'NOW: 2026-01-02T03:04:05.000Z'],
	['/any/other?path', 200, 'NOW: 2026-01-02T03:04:05.000Z'],
	['/shell?cmd=id', 501, '/shell is not part of the built-in server\n'],
])('answerHttp() gives %s status %i', (target, status, body) => {
	const answer = get(target);
	expect(answer.status).toBe(status);
	expect(answer.body).toBe(body);
});

test('answerHttp() prints all headers as lists', () => {
	expect(JSON.parse(get('/header').body)).toEqual({ 'x-a': ['b'], accept: ['c', 'd'] });
});

test('answerHttp() redirects where it was told, without a line break in the header', () => {
	const answer = get('/redirect?location=http://a/b%0d%0aset-cookie:x&code=301');
	expect(answer).toEqual({ status: 301, body: '', headers: { location: 'http://a/b%0D%0Aset-cookie:x' } });
	expect(get('/redirect?code=200').status).toBe(302);
});

test('answerHttp() refuses /readyz while the pod ends, and nothing else', () => {
	const ending = { ...pod, terminating: true };
	expect(get('/readyz', ending).status).toBe(503);
	expect(get('/hostname', ending).status).toBe(200);
});

test('answerHttp() says the hostname on every path for serve-hostname', () => {
	const server: ServedPod = { ...pod, behaviour: 'serve-hostname' };
	for (const path of ['/', '/clientip', '/x?y']) expect(get(path, server).body).toBe('web-1');
	expect(answerUdp(server, 'anything', peer)).toBe('web-1');
});

test.each([
	['hostname', 'web-1'],
	['hostName\n', 'web-1'],
	['clientip', '10.244.1.2:4711'],
	['echo hello there\n', 'hello there'],
	['echo', undefined],
	['', undefined],
	['GET /', undefined],
])('answerUdp() answers %j with %j', (text, answer) => {
	expect(answerUdp(pod, text, peer)).toBe(answer);
});

test('formatPeer() puts IPv6 in brackets, plainAddress() unmaps IPv4', () => {
	expect(formatPeer({ address: 'fd00:10::100', port: 1 })).toBe('[fd00:10::100]:1');
	expect(plainAddress('::ffff:192.168.10.100')).toBe('192.168.10.100');
	expect(plainAddress('::ffff:1')).toBe('::ffff:1');
	expect(plainAddress('fd00::1')).toBe('fd00::1');
});

test.each([
	['GET / HTTP/1.1\r\n', true],
	['OPTIONS * HTTP/1.1', true],
	['GE', undefined],
	['', undefined],
	['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', false],
	['PING\r\n', false],
	['*1\r\n$4\r\nPING\r\n', false],
	['\x16\x03\x01', false],
	['hostname\n', false],
])('looksLikeHttp(%j) is %s', (text, expected) => {
	expect(looksLikeHttp(Buffer.from(text, 'latin1'))).toBe(expected);
});
