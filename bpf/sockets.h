/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * sockets.h - the map `sockets`: the backend that a socket was given, and the
 * frontend that it dialled.
 */
#ifndef MAGLANE_SOCKETS_H
#define MAGLANE_SOCKETS_H

#include "maps.h"
#include "select.h"

/*
 * Backends of an unconnected socket that are deleted with it; the LRU evicts
 * others.
 */
#define SOCKETS_LISTED 4

static __always_inline void sockets_key(struct sock_key *key, __u64 cookie,
					const struct addr *addr, __u16 port,
					__u8 proto)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = cookie;
	key->addr = *addr;
	key->port = port;
	key->proto = proto;
}

/* Does the backend that the socket was given still exist? */
static __always_inline int sockets_current(const struct sock_frontend *s)
{
	struct backend *b = backend_lookup(s->backend_id);

	return b && b->generation == s->backend_generation;
}

/* Fills *frontend with the key of the frontend that the socket dialled. */
static __always_inline void sockets_dialled(const struct sock_frontend *s,
					    __u8 proto,
					    struct frontend_key *frontend)
{
	frontend->addr = s->addr;
	frontend->port = s->port;
	frontend->proto = proto;
	frontend->scope = SCOPE_INTERNAL;
}

/* Has this unconnected socket been given a backend? */
static __always_inline int sockets_listed(__u64 cookie, __u8 proto)
{
	struct sock_key key = { .cookie = cookie, .proto = proto };

	return map_has(&sockets, &key);
}

/* Adds a backend to the list of an unconnected socket. */
static __always_inline void sockets_list(const struct sock_key *backend)
{
	struct sock_frontend value = {
		.addr = backend->addr,
		.port = backend->port,
	};
	struct sock_key key = {
		.cookie = backend->cookie,
		.proto = backend->proto,
	};
	int i;

#pragma unroll
	for (i = 0; i < SOCKETS_LISTED; i++) {
		key.port = i;
		if (!bpf_map_update_elem(&sockets, &key, &value, BPF_NOEXIST))
			return;
	}
}

/* Deletes all listed backends of an unconnected socket. */
static __always_inline void sockets_forget(__u64 cookie, __u8 proto)
{
	struct sock_key key = { .cookie = cookie, .proto = proto }, backend;
	struct sock_frontend *listed;
	int i;

#pragma unroll
	for (i = 0; i < SOCKETS_LISTED; i++) {
		key.port = i;
		listed = bpf_map_lookup_elem(&sockets, &key);
		if (!listed)
			return;
		sockets_key(&backend, cookie, &listed->addr, listed->port,
			    proto);
		bpf_map_delete_elem(&sockets, &backend);
		bpf_map_delete_elem(&sockets, &key);
	}
}

#endif
