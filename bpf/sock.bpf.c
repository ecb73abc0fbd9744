/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * sock.bpf.c - sockets of the node and its pods. A frontend's address is
 * exchanged for a backend's before there is a packet, so none needs to be
 * translated; getpeername() and recvmsg() give the frontend back.
 *
 * TCP of every socket; UDP of the node's own only. A pod's UDP goes packet by
 * packet (tc.bpf.c), so that it leaves a dead backend at once.
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
#include "packet.h"
#include "select.h"

#define SOCK_PROCEED 1
#define SOCK_REFUSE 0
#define ECONNREFUSED 111

typedef struct bpf_sock_addr sock_t;

/* What a hook was called with. */
struct dialled {
	struct addr addr;
	__u16 port;
	__u8 proto;
};

static __always_inline int sock_of_host(sock_t *ctx)
{
	return bpf_get_netns_cookie(ctx) == host_netns_cookie;
}

/* Is this socket ours to translate? */
static __always_inline int sock_wanted(sock_t *ctx)
{
	if (ctx->protocol == IPPROTO_TCP)
		return !host_only || sock_of_host(ctx);
	if (ctx->protocol == IPPROTO_UDP)
		return sock_of_host(ctx);
	return 0;
}

static __always_inline void sock_get4(sock_t *ctx, struct dialled *d)
{
	addr_from_v4(&d->addr, ctx->user_ip4);
	d->port = bpf_ntohs((__u16)ctx->user_port);
	d->proto = (__u8)ctx->protocol;
}

static __always_inline void sock_get6(sock_t *ctx, struct dialled *d)
{
	__u32 *a = (__u32 *)d->addr.b;

	a[0] = ctx->user_ip6[0];
	a[1] = ctx->user_ip6[1];
	a[2] = ctx->user_ip6[2];
	a[3] = ctx->user_ip6[3];
	d->port = bpf_ntohs((__u16)ctx->user_port);
	d->proto = (__u8)ctx->protocol;
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
	__builtin_memset(key, 0, sizeof(*key));
	key->cookie = bpf_get_socket_cookie(ctx);
	key->addr = d->addr;
	key->port = d->port;
	key->proto = d->proto;
}

/* Remembers what the socket dialled; written only when it is not known yet. */
static __always_inline void sock_remember(sock_t *ctx,
					  const struct dialled *backend,
					  const struct dialled *frontend,
					  __u32 service_id)
{
	struct sock_frontend value = {
		.addr = frontend->addr,
		.port = frontend->port,
		.service_id = service_id,
	};
	struct sock_frontend *known;
	struct sock_key key;

	sock_key_of(ctx, backend, &key);
	known = bpf_map_lookup_elem(&sockets, &key);
	if (known && known->port == value.port &&
	    addr_equal(&known->addr, &value.addr))
		return;
	bpf_map_update_elem(&sockets, &key, &value, BPF_ANY);
}

/*
 * A connection has no source port yet: TCP takes any slot of the table. A UDP
 * socket takes the same slot each time, so that its datagrams stay together
 * while the table does.
 */
static __always_inline __u32 sock_hash(sock_t *ctx, const struct dialled *d)
{
	__u64 cookie;

	if (d->proto == IPPROTO_TCP)
		return bpf_get_prandom_u32();
	cookie = bpf_get_socket_cookie(ctx);
	return mix3((__u32)cookie, (__u32)(cookie >> 32) ^ hash_seed, d->port);
}

/* Backend id; a socket has no source address yet: its namespace stands for it. */
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

/* Nothing else lives at a ClusterIP: a port that no Service has is refused. */
static __always_inline int sock_no_port(const struct dialled *d)
{
	struct service_address *a = address_lookup(&d->addr);

	return a && (a->flags & ADDRESS_CLUSTERIP) ? sock_refuse() :
						     SOCK_PROCEED;
}

/*
 * Exchanges *d for a backend. SOCK_REFUSE when there is none; *changed tells
 * whether *d is to be written back.
 */
static __always_inline int sock_translate(sock_t *ctx, struct dialled *d,
					  __u32 reason, int *changed)
{
	struct dialled frontend = *d;
	struct frontend *f;
	struct backend *b;

	*changed = 0;
	f = frontend_lookup(&d->addr, d->port, d->proto, SCOPE_INTERNAL);
	if (!f)
		return sock_no_port(d);
	/* ranges are of a packet's source: tc.bpf.c sees that. The node may always */
	if ((f->flags & FRONTEND_RANGES) && !sock_of_host(ctx))
		return SOCK_PROCEED;
	/* a pod's 127.0.0.1 is its own */
	if ((f->flags & FRONTEND_LOOPBACK) && !sock_of_host(ctx))
		return SOCK_PROCEED;
	if (!f->table_size) {
		/* dropped as a packet, as a Local policy wants it */
		if (f->flags & FRONTEND_DROP)
			return SOCK_PROCEED;
		return sock_refuse();
	}
	b = backend_lookup(sock_backend(ctx, d, f));
	if (!b)
		return sock_refuse();
	d->addr = b->addr;
	d->port = b->port;
	*changed = 1;
	sock_remember(ctx, d, &frontend, f->service_id);
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

/* recvmsg() and getpeername(): the frontend of what the socket talks to. */
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

	if (!sock_wanted(ctx))
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

	if (!sock_wanted(ctx))
		return SOCK_PROCEED;
	sock_get6(ctx, &d);
	f = sock_recall(ctx, &d);
	if (f)
		sock_set6(ctx, &f->addr, f->port);
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
