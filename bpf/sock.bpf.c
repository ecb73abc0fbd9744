/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * sock.bpf.c - sockets of the node and its pods. The hooks replace a frontend's
 * address with a backend's before there is a packet, so that no packet needs
 * translation; getpeername() and recvmsg() return the frontend.
 *
 * They translate TCP of every socket, and UDP of the node's own sockets and of
 * pods whose packets no TC program of ours sees (served.h). UDP of other pods
 * is translated per packet (tc.bpf.c), so that it leaves a dead backend at
 * once.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "address.h"
#include "affinity.h"
#include "config.h"
#include "count.h"
#include "frontend.h"
#include "left-out.h"
#include "local-route.h"
#include "packet.h"
#include "select.h"
#include "served.h"
#include "sockets.h"

#define SOCK_PROCEED 1
#define SOCK_REFUSE 0
#define ECONNREFUSED 111
/* <sys/socket.h> and newer kernels' <linux/in.h> define them. */
#define AF_INET 2
#define AF_INET6 10
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

typedef struct bpf_sock_addr sock_t;

/* The destination that a hook was called with. */
struct dialled {
	struct addr addr;
	__u16 port;
	__u8 proto;
};

static __always_inline int sock_of_host(sock_t *ctx)
{
	return bpf_get_netns_cookie(ctx) == host_netns_cookie;
}

/*
 * IPPROTO_TCP for MPTCP, whose first subflow is TCP to the same address. 0:
 * neither TCP nor UDP.
 */
static __always_inline __u8 sock_proto(__u32 protocol)
{
	if (protocol == IPPROTO_MPTCP)
		return IPPROTO_TCP;
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ?
		       (__u8)protocol :
		       0;
}

/* Should the hooks translate this socket? */
static __always_inline int sock_wanted(sock_t *ctx)
{
	__u8 proto = sock_proto(ctx->protocol);

	if (!proto)
		return 0;
	if (sock_of_host(ctx))
		return 1;
	if (host_only || left_out())
		return 0;
	if (proto == IPPROTO_TCP)
		return 1;
	/*
	 * a socket that has translated continues: TC might take another backend
	 */
	return !served_netns_known(bpf_get_netns_cookie(ctx)) ||
	       sockets_listed(bpf_get_socket_cookie(ctx), proto);
}

/* May this socket have been translated? */
static __always_inline int sock_known(sock_t *ctx)
{
	return sock_proto(ctx->protocol) && (!host_only || sock_of_host(ctx));
}

static __always_inline void sock_get4(sock_t *ctx, struct dialled *d)
{
	addr_from_v4(&d->addr, ctx->user_ip4);
	d->port = bpf_ntohs((__u16)ctx->user_port);
	d->proto = sock_proto(ctx->protocol);
}

static __always_inline void sock_get6(sock_t *ctx, struct dialled *d)
{
	__u32 *a = (__u32 *)d->addr.b;

	a[0] = ctx->user_ip6[0];
	a[1] = ctx->user_ip6[1];
	a[2] = ctx->user_ip6[2];
	a[3] = ctx->user_ip6[3];
	d->port = bpf_ntohs((__u16)ctx->user_port);
	d->proto = sock_proto(ctx->protocol);
}

static __always_inline void sock_set4(sock_t *ctx, const struct addr *addr,
				      __u16 port)
{
	ctx->user_ip4 = addr_v4(addr);
	ctx->user_port = bpf_htons(port);
}

static __always_inline void sock_set6(sock_t *ctx, const struct addr *addr,
				      __u16 port)
{
	const __u32 *a = (const __u32 *)addr->b;

	ctx->user_ip6[0] = a[0];
	ctx->user_ip6[1] = a[1];
	ctx->user_ip6[2] = a[2];
	ctx->user_ip6[3] = a[3];
	ctx->user_port = bpf_htons(port);
}

static __always_inline void sock_key_of(sock_t *ctx, const struct dialled *d,
					struct sock_key *key)
{
	sockets_key(key, bpf_get_socket_cookie(ctx), &d->addr, d->port,
		    d->proto);
}

/*
 * Stores the frontend that the socket dialled; writes only a changed entry.
 * @backend is in the key, @value has the rest.
 */
static __always_inline void sock_remember(sock_t *ctx, __u32 reason,
					  const struct dialled *backend,
					  const struct sock_frontend *value)
{
	struct sock_frontend *known;
	struct sock_key key;

	sock_key_of(ctx, backend, &key);
	known = bpf_map_lookup_elem(&sockets, &key);
	if (known && known->port == value->port &&
	    known->service_id == value->service_id &&
	    known->backend_id == value->backend_id &&
	    known->backend_generation == value->backend_generation &&
	    addr_equal(&known->addr, &value->addr))
		return;
	bpf_map_update_elem(&sockets, &key, value, BPF_ANY);
	if (!known && reason == REASON_SOCK_SENDMSG)
		sockets_list(&key);
}

/* UDP of a pod gets here only while TC is not known to see it. */
static __always_inline __u64 sock_unserved(sock_t *ctx, __u8 proto)
{
	if (proto != IPPROTO_UDP || sock_of_host(ctx))
		return 0;
	served_not_yet();
	return bpf_get_netns_cookie(ctx);
}

/*
 * A connection has no source port yet: TCP takes a random slot of the table. A
 * UDP socket takes the same slot each time, so that its datagrams have one
 * backend while the table is unchanged.
 */
static __always_inline __u32 sock_hash(sock_t *ctx, const struct dialled *d)
{
	__u64 cookie;

	if (d->proto == IPPROTO_TCP)
		return bpf_get_prandom_u32();
	cookie = bpf_get_socket_cookie(ctx);
	return mix3((__u32)cookie, (__u32)(cookie >> 32) ^ hash_seed, d->port);
}

/*
 * Backend id. A socket has no source address yet: its namespace identifies the
 * client.
 */
static __always_inline __u32 sock_backend(sock_t *ctx, const struct dialled *d,
					  const struct frontend *f)
{
	struct affinity_key key = {
		.addr = d->addr,
		.port = d->port,
		.proto = d->proto,
	};
	__u64 cookie;

	if (!f->affinity_seconds)
		return table_backend(f, sock_hash(ctx, d));
	cookie = bpf_get_netns_cookie(ctx);
	__builtin_memcpy(&key.client.b[8], &cookie, sizeof(cookie));
	return affinity_backend(f, &key,
				mix3((__u32)cookie,
				     (__u32)(cookie >> 32) ^ hash_seed,
				     d->port));
}

static __always_inline int sock_refuse(void)
{
	count(REASON_SOCK_REFUSED, 0);
	/* before 5.18 the caller sees EPERM */
	if (have_set_retval)
		bpf_set_retval(-ECONNREFUSED);
	return SOCK_REFUSE;
}

/* No other host uses a ClusterIP: refuses a port that no Service has. */
static __always_inline int sock_no_port(const struct dialled *d)
{
	struct service_address *a = address_lookup(&d->addr);

	return a && (a->flags & ADDRESS_CLUSTERIP) && !route_is_local(&d->addr) ?
		       sock_refuse() :
		       SOCK_PROCEED;
}

/*
 * Handles a frontend without a backend. Connected UDP may get one later: TC
 * sees its datagrams. That excludes addresses of the node itself, which are
 * routed to lo, where there is no program.
 */
static __always_inline int sock_no_backend(sock_t *ctx, const struct dialled *d,
					   const struct frontend *f,
					   __u32 reason)
{
	struct sock_frontend value = {
		.addr = d->addr,
		.port = d->port,
		.service_id = f->service_id,
	};

	/* TC drops the packet, as a Local policy requires */
	if (f->flags & FRONTEND_DROP)
		return SOCK_PROCEED;
	if (d->proto != IPPROTO_UDP || reason != REASON_SOCK_CONNECT ||
	    (f->flags & (FRONTEND_NODEPORT | FRONTEND_LOOPBACK)))
		return sock_refuse();
	if (sock_of_host(ctx))
		sock_remember(ctx, reason, d, &value);
	return SOCK_PROCEED;
}

/*
 * Replaces *d with a backend. SOCK_REFUSE when there is none; *changed says
 * whether to write *d back.
 */
static __always_inline int sock_translate(sock_t *ctx, struct dialled *d,
					  __u32 reason, int *changed)
{
	struct sock_frontend value = { .addr = d->addr, .port = d->port };
	struct frontend *f;
	struct backend *b;

	*changed = 0;
	f = frontend_lookup(&d->addr, d->port, d->proto, SCOPE_INTERNAL);
	if (!f)
		return sock_no_port(d);
	/*
	 * ranges concern a packet's source: tc.bpf.c checks it. The node may
	 * always
	 */
	if ((f->flags & FRONTEND_RANGES) && !sock_of_host(ctx))
		return SOCK_PROCEED;
	/* 127.0.0.1 of a pod is its own */
	if ((f->flags & FRONTEND_LOOPBACK) && !sock_of_host(ctx))
		return SOCK_PROCEED;
	if (!f->table_size)
		return sock_no_backend(ctx, d, f, reason);
	value.service_id = f->service_id;
	value.backend_id = sock_backend(ctx, d, f);
	b = backend_lookup(value.backend_id);
	if (!b)
		return sock_refuse();
	d->addr = b->addr;
	d->port = b->port;
	*changed = 1;
	value.backend_generation = b->generation;
	value.netns_cookie = sock_unserved(ctx, d->proto);
	sock_remember(ctx, reason, d, &value);
	count(reason, 0);
	return SOCK_PROCEED;
}

/* connect() and sendmsg(), by family. */
static __always_inline int sock_out4(sock_t *ctx, __u32 reason)
{
	struct dialled d = {};
	int verdict, changed;

	if (!sock_wanted(ctx))
		return SOCK_PROCEED;
	sock_get4(ctx, &d);
	verdict = sock_translate(ctx, &d, reason, &changed);
	if (changed)
		sock_set4(ctx, &d.addr, d.port);
	return verdict;
}

static __always_inline int sock_out6(sock_t *ctx, __u32 reason)
{
	struct dialled d = {};
	int verdict, changed;

	if (!sock_wanted(ctx))
		return SOCK_PROCEED;
	sock_get6(ctx, &d);
	verdict = sock_translate(ctx, &d, reason, &changed);
	if (changed)
		sock_set6(ctx, &d.addr, d.port);
	return verdict;
}

/*
 * recvmsg() and getpeername(): the frontend of the backend that the socket
 * talks to.
 */
static __always_inline struct sock_frontend *
sock_recall(sock_t *ctx, const struct dialled *d)
{
	struct sock_key key;

	sock_key_of(ctx, d, &key);
	return bpf_map_lookup_elem(&sockets, &key);
}

static __always_inline int sock_back4(sock_t *ctx)
{
	struct sock_frontend *f;
	struct dialled d = {};

	if (!sock_known(ctx))
		return SOCK_PROCEED;
	sock_get4(ctx, &d);
	f = sock_recall(ctx, &d);
	if (f)
		sock_set4(ctx, &f->addr, f->port);
	return SOCK_PROCEED;
}

static __always_inline int sock_back6(sock_t *ctx)
{
	struct sock_frontend *f;
	struct dialled d = {};

	if (!sock_known(ctx))
		return SOCK_PROCEED;
	sock_get6(ctx, &d);
	f = sock_recall(ctx, &d);
	if (f)
		sock_set6(ctx, &f->addr, f->port);
	return SOCK_PROCEED;
}

/*
 * Stores the address of a closing socket's peer; 0 when it has none. volatile,
 * and all before a branch: the verifier requires a read of each field at its
 * own offset.
 */
static __always_inline int sock_peer(const volatile struct bpf_sock *ctx,
				     struct addr *addr)
{
	__u32 *a = (__u32 *)addr->b;
	__u32 v4 = ctx->dst_ip4;

	a[0] = ctx->dst_ip6[0];
	a[1] = ctx->dst_ip6[1];
	a[2] = ctx->dst_ip6[2];
	a[3] = ctx->dst_ip6[3];
	if (ctx->family == AF_INET)
		addr_from_v4(addr, v4);
	return ctx->dst_port != 0;
}

/*
 * The last close of a socket: deletes its entries, to make room for live
 * sockets.
 */
SEC("cgroup/sock_release")
int ml_release(struct bpf_sock *ctx)
{
	__u8 proto = sock_proto(ctx->protocol);
	__u64 cookie;
	struct sock_key key;
	struct addr peer;

	if (!proto)
		return SOCK_PROCEED;
	cookie = bpf_get_socket_cookie(ctx);
	if (sock_peer(ctx, &peer)) {
		sockets_key(&key, cookie, &peer,
			    bpf_ntohs((__u16)ctx->dst_port), proto);
		/* a lookup takes no lock, and most sockets have no entry */
		if (bpf_map_lookup_elem(&sockets, &key))
			bpf_map_delete_elem(&sockets, &key);
	}
	if (proto == IPPROTO_UDP)
		sockets_forget(cookie, proto);
	return SOCK_PROCEED;
}

SEC("cgroup/connect4")
int ml_connect4(struct bpf_sock_addr *ctx)
{
	return sock_out4(ctx, REASON_SOCK_CONNECT);
}

SEC("cgroup/connect6")
int ml_connect6(struct bpf_sock_addr *ctx)
{
	return sock_out6(ctx, REASON_SOCK_CONNECT);
}

SEC("cgroup/sendmsg4")
int ml_sendmsg4(struct bpf_sock_addr *ctx)
{
	return sock_out4(ctx, REASON_SOCK_SENDMSG);
}

SEC("cgroup/sendmsg6")
int ml_sendmsg6(struct bpf_sock_addr *ctx)
{
	return sock_out6(ctx, REASON_SOCK_SENDMSG);
}

SEC("cgroup/recvmsg4")
int ml_recvmsg4(struct bpf_sock_addr *ctx)
{
	return sock_back4(ctx);
}

SEC("cgroup/recvmsg6")
int ml_recvmsg6(struct bpf_sock_addr *ctx)
{
	return sock_back6(ctx);
}

SEC("cgroup/getpeername4")
int ml_getpeer4(struct bpf_sock_addr *ctx)
{
	return sock_back4(ctx);
}

SEC("cgroup/getpeername6")
int ml_getpeer6(struct bpf_sock_addr *ctx)
{
	return sock_back6(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
