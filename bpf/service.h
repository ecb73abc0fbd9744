/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * service.h - a packet to a frontend, and a packet back: frontend lookup ->
 * connection lookup -> else select and create -> rewrite -> way out.
 */
#ifndef MAGLANE_SERVICE_H
#define MAGLANE_SERVICE_H

#include "affinity.h"
#include "conn.h"
#include "forward.h"
#include "frontend.h"
#include "select.h"
#include "source.h"

/*
 * What XDP leaves to TC: a checksum that its sender has not finished holds
 * just the pseudo header's sum. A redirected frame would carry that to the
 * wire. One finished checksum in 65536 looks the same, and takes the longer way.
 */
#ifdef MAGLANE_XDP
static __always_inline int service_csum_partial(ctx_t *ctx,
						const struct packet *p)
{
	__u32 l4_len = p->ip_len - (p->l4_off - L3_OFF);
	__u16 *check = ctx_data(ctx) + (p->l4_off & L4_OFF_MAX) + rewrite_check_off(p);

	/* who cuts a datagram up has finished its checksum before */
	if (p->fragment)
		return 0;
	if ((void *)(check + 1) > ctx_data_end(ctx))
		return 1;
	return *check == csum_fold16(csum_pseudo(&p->tuple, l4_len, p->v4));
}
#endif

/*
 * Source of a flow that must come back through this node.
 * 0, or -1 when the node has no address of the family.
 */
static __always_inline int service_snat_addr(const struct packet *p,
					     struct addr *out)
{
	__u32 zero = 0;
	struct settings *s = bpf_map_lookup_elem(&node_settings, &zero);

	if (!s)
		return -1;
	*out = p->v4 ? s->snat_v4 : s->snat_v6;
	return addr_is_zero(out) ? -1 : 0;
}

/* Backend id for a new flow. */
static __always_inline __u32 service_backend(const struct packet *p,
					     const struct frontend *f,
					     __u32 hash)
{
	struct affinity_key key = {
		.client = p->tuple.saddr,
		.addr = p->tuple.daddr,
		.port = p->tuple.dport,
		.proto = p->tuple.proto,
	};

	if (!f->affinity_seconds)
		return table_backend(f, hash);
	return affinity_backend(f, &key, flow_hash(&p->tuple, 0));
}

/*
 * Can nobody be the client? A source of this host, of a group, or the
 * destination itself (the land attack): an answer would go round in here. But
 * a load balancer may send with its own address what came to it from a node.
 * Asked for new flows only, so it costs the others nothing.
 */
static __always_inline int service_martian(const struct packet *p,
					   const struct frontend *f)
{
	const __u8 *b = p->tuple.saddr.b;
	const __u32 *x = (const __u32 *)b;

	if (addr_equal(&p->tuple.saddr, &p->tuple.daddr) &&
	    !(f->flags & FRONTEND_LOADBALANCER))
		return 1;
	if (p->v4) /* 0/8, 127/8, 224/4 and all above */
		return b[12] == 0 || b[12] == 127 || b[12] >= 224;
	/* :: and ::1, ff00::/8 */
	return b[0] == 0xff || (!(x[0] | x[1] | x[2]) &&
				(x[3] == 0 || x[3] == bpf_htonl(1)));
}

/* Fills *c with a new flow's translation, and enters it. */
static __always_inline int service_connect(ctx_t *ctx, const struct packet *p,
					   const struct frontend *f, __u8 scope,
					   struct conn *c)
{
	__u32 hash = flow_hash(&p->tuple, p->tuple.sport);
	__u32 id = service_backend(p, f, hash);
	struct backend *b = backend_lookup(id);

	if (!b)
		return REASON_DROP_STALE;
#ifdef MAGLANE_XDP
	if (b->flags & BACKEND_LOCAL)
		return REASON_PASS_LOCAL;
#endif
	__builtin_memset(c, 0, sizeof(*c));
	c->backend_id = id;
	c->backend_generation = b->generation;
	c->service_id = f->service_id;
	c->flags = CONN_FORWARD;
	if (b->flags & BACKEND_LOCAL)
		c->flags |= CONN_LOCAL;
	if (p->tcp_flags & TH_SYN)
		c->flags |= CONN_SYN;
	c->nat.saddr = p->tuple.saddr;
	c->nat.daddr = b->addr;
	c->nat.dport = b->port;
	c->nat.proto = p->tuple.proto;
	/* from another node's pod to itself is no hairpin of ours: SNAT does */
	if (scope == SCOPE_INTERNAL && addr_equal(&p->tuple.saddr, &b->addr)) {
		c->flags |= CONN_SNAT | CONN_HAIRPIN;
		c->ifindex = ctx_ifindex(ctx);
	} else if (scope == SCOPE_EXTERNAL && !(c->flags & CONN_LOCAL)) {
		c->flags |= CONN_SNAT;
	}
	if ((c->flags & CONN_SNAT) && service_snat_addr(p, &c->nat.saddr))
		return REASON_DROP_NO_SNAT_ADDR;
	if (conn_create(ctx, p, c, hash))
		return REASON_DROP_NO_PORT;
	return STEP_NEXT;
}

/* Sends a packet of the client on to the backend of `c`. */
static __always_inline int service_send(ctx_t *ctx, struct packet *p,
					const struct conn *c, __u8 scope)
{
#ifdef MAGLANE_XDP
	(void)scope;
	if (c->flags & (CONN_LOCAL | CONN_HAIRPIN))
		return REASON_PASS_LOCAL;
	return forward(ctx, p, c, REASON_TO_REMOTE);
#else
	if ((c->flags & CONN_HAIRPIN) && scope == SCOPE_INTERNAL)
		return forward_hairpin(ctx, p, c);
	if (!(c->flags & CONN_LOCAL) && scope == SCOPE_EXTERNAL)
		return forward(ctx, p, c, REASON_TO_REMOTE);
	if (translate(ctx, p, c, 0))
		return REASON_DROP_REWRITE;
	return c->flags & CONN_LOCAL ? REASON_TO_LOCAL : REASON_TO_ROUTED;
#endif
}

/* A packet to frontend `f`. */
static __always_inline int service_forward(ctx_t *ctx, struct packet *p,
					   const struct frontend *f, __u8 scope)
{
	struct conn *found, c;
	int step;

	found = conn_lookup(&p->tuple);
	if (found && (found->flags & CONN_FORWARD) && conn_usable(found, p)) {
		conn_touch(found, p);
		return service_send(ctx, p, found, scope);
	}
	if (service_martian(p, f))
		return REASON_DROP_MARTIAN;
	if (!source_allowed(p, f))
		return REASON_DROP_SOURCE_RANGE;
	if (!f->table_size)
		return f->flags & FRONTEND_DROP ? REASON_DROP_NO_BACKEND :
						  REASON_REJECT_NO_BACKEND;
	step = service_connect(ctx, p, f, scope, &c);
	if (step != STEP_NEXT)
		return step;
	return service_send(ctx, p, &c, scope);
}

/* May this be a reply to a flow whose source we translated? */
static __always_inline int service_snat_port(const struct packet *p)
{
	return p->tuple.dport >= snat_port_min &&
	       p->tuple.dport <= snat_port_max;
}

#ifndef MAGLANE_XDP
/*
 * The entry that an ICMP error travels by, or NULL. Errors tell nothing of the
 * flow's age, so it is not touched.
 */
static __always_inline struct conn *service_related(ctx_t *ctx,
						    struct packet *p)
{
	return related_parse(ctx, p) ? conn_lookup(&p->tuple) : 0;
}
#endif

/*
 * Seconds without a datagram of its client after which a UDP flow's ports may
 * be another's: the kernel gives an ephemeral port anew at once. last_seen is
 * up to one behind. A flow that is in use is not taken from a socket that
 * sends to the backend's address too.
 */
#define UDP_SILENT 2

/*
 * A connection that a client begins to a backend's own address: with the ports
 * of an earlier one through a Service, that one's entries would translate its
 * answers, so they go. Called for packets that are no Service's. `udp`: for
 * datagrams too, which have no SYN, so that each is looked at.
 */
static __always_inline void service_forget(const struct packet *p, int udp)
{
	int datagram = p->tuple.proto == IPPROTO_UDP;
	struct tuple reply, forward;
	struct conn *c, *other;

	if (datagram ? !udp : (p->tcp_flags & (TH_SYN | TH_ACK)) != TH_SYN)
		return;
	tuple_turn(&p->tuple, &reply);
	c = conn_lookup(&reply);
	if (!c || (c->flags & CONN_FORWARD))
		return;
	tuple_turn(&c->nat, &forward);
	other = conn_lookup(&forward);
	if (datagram && other &&
	    conn_now() - other->last_seen <= UDP_SILENT * hz)
		return;
	bpf_map_delete_elem(&connections, &forward);
	bpf_map_delete_elem(&connections, &reply);
}

/* UDP has no SYN: a flow is over when neither side has sent for long. */
static __always_inline int service_over(const struct conn *c, __u8 proto)
{
	struct tuple key;
	struct conn *other;

	if (proto != IPPROTO_UDP || !conn_expired(c, proto))
		return 0;
	tuple_turn(&c->nat, &key);
	other = conn_lookup(&key);
	return !other || conn_expired(other, proto);
}

/* The entry of a backend's reply, or NULL. */
static __always_inline struct conn *service_reply(const struct packet *p)
{
	struct conn *c = conn_lookup(&p->tuple);

	if (!c || (c->flags & CONN_FORWARD) || service_over(c, p->tuple.proto))
		return 0;
	return c;
}

#endif
