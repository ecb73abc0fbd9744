/** Former faults of the connection table, each reintroduced by a change of its source. */

export interface Fault {
	readonly name: string;
	/** Path below bpf/. */
	readonly file: string;
	readonly from: string;
	readonly to: string;
	/** The test that detects it: histories, or two CPUs. */
	readonly by: 'histories' | 'hammer';
}

export const FAULTS: readonly Fault[] = [
	{
		name: 'the age of one half decides: a one-way flow loses its port',
		file: 'conn.h',
		from: '	return conn_mirror_is_idle(s, seconds);',
		to: '	return 1;',
		by: 'histories',
	},
	{
		name: 'any entry under the reverse key is taken for the mirror',
		file: 'conn.h',
		from: '	return tuple_equal(&turned, key) ? other : 0;',
		to: '	return key ? other : 0;',
		by: 'histories',
	},
	{
		name: 'the loser of a port keeps its forward half and sends with it',
		file: 'conn.h',
		from: '	if (claim && *(volatile __u32 *)&claim->count == c->claim)\n		return 1;',
		to: '	if (claim)\n		return 1;',
		by: 'histories',
	},
	{
		name: 'an entry that is no reverse one takes the key of one unseen',
		file: 'conn.h',
		from: '\n	claim->count++;\n',
		to: '\n',
		by: 'histories',
	},
	{
		name: 'two CPUs insert one reverse key',
		file: 'conn.h',
		from: '	return held ? 0 : claim;',
		to: '	return claim;',
		by: 'hammer',
	},
	{
		name: 'events are noted in an entry that is not the mirror: a late RST closes a new flow',
		file: 'conn.h',
		from: '		other = conn_mirror_of(&s->key, c);',
		to: '		tuple_turn(&c->nat, &s->mirror_key);\n		other = conn_lookup(&s->mirror_key);',
		by: 'histories',
	},
	{
		name: 'ages are compared unsigned',
		file: 'conn.h',
		from: '	return age > (__u32)-65536 ? 0 : age;',
		to: '	return age;',
		by: 'histories',
	},
	{
		name: 'a port that is a frontend’s is picked',
		file: 'port.h',
		from: '		if (of_node && port_is_frontend(ctx))\n			continue;\n',
		to: '',
		by: 'histories',
	},
	{
		name: 'a frontend goes before a reply',
		file: 'service.h',
		from: '	if (c && service_is_reply(p, c))\n		return service_answer(ctx, p, c, scope);',
		to: '	if (c && !f && service_is_reply(p, c))\n		return service_answer(ctx, p, c, scope);',
		by: 'histories',
	},
	{
		name: 'a frontend goes before the node’s own flow',
		file: 'tc.bpf.c',
		from: '		own_remember(ctx, p);\n',
		to: '',
		by: 'histories',
	},
	{
		name: 'a port is given again while the backend may be in TIME_WAIT',
		file: 'conn.h',
		from: '		return c->backend_closed_first ? timeout_tcp_time_wait :\n						 timeout_tcp_closed;',
		to: '		return timeout_tcp_closed;',
		by: 'histories',
	},
	{
		name: 'a stream of UDP has the age of one exchange',
		file: 'conn.h',
		from: 'conn_established(c) ? timeout_udp_stream : timeout_udp;',
		to: 'timeout_udp;',
		by: 'histories',
	},
];
