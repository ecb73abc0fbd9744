/**
 * A process with TCP and UDP servers, configured by JSON. Each server answers every request with
 * its name.
 */
import dgram from 'node:dgram';
import net from 'node:net';

interface Named {
	readonly name: string;
	readonly address: string;
	readonly port: number;
}

let missing = 0;
const listening = () => {
	if (--missing === 0) process.stdout.write('{"listening":true}\n');
};

for (const { name, address, port } of JSON.parse(process.argv[2] ?? '[]') as Named[]) {
	missing += 2;
	const udp = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
	udp.on('message', (_, from) => udp.send(name, from.port, from.address));
	udp.bind(port, address, listening);
	const tcp = net.createServer((socket) => {
		socket.on('data', () => socket.write(`${name}\n`)).on('error', () => {});
	});
	tcp.listen(port, address, listening);
}
