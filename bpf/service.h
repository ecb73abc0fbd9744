/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * service.h - a packet to a frontend, and its reply: frontend lookup ->
 * connection lookup -> else select and create -> rewrite -> send.
 */
#ifndef MAGLANE_SERVICE_H
#define MAGLANE_SERVICE_H

#include "affinity.h"
#include "conn.h"
#include "frontend.h"
#include "own.h"
#include "port.h"
#include "route.h"
#include "select.h"
#include "slow.h"
#include "source.h"

#include MAGLANE_FORWARD
#include MAGLANE_HOOK

/*
 * Backend id for a new flow of the saved packet to a frontend with session
 * affinity.
 */
__noinline int service_backend_affine(ctx_t *ctx)
{
	struct conn_scratch *s = conn_scratch();
	struct packet *p = packet_saved();
	struct affinity_key key = {};
	struct frontend *f;

	if (!ctx || !p || !s)
		return 0;
	f = bpf_map_lookup_elem(&frontends, &s->frontend);
	if (!f)
		return 0;
	key.client = p->tuple.saddr;
	key.addr = s->frontend.addr;
	key.port = s->frontend.port;
	key.proto = s->frontend.proto;
	return (int)affinity_backend(f, &key, flow_hash(&p->tuple, 0));
}

/* May the saved packet's source use the Service of this id? */
__noinline int service_source_allowed(ctx_t *ctx, __u32 service_id)
{
	struct packet *p = packet_saved();

	return ctx && p && source_allowed(p, service_id);
}

/*
 * Can the source be no client? It is an address of this host or of a group, or
 * the destination itself (the land attack): a reply would loop in this host.
 * But a load balancer may forward packets of a node with its own address as
 * source. Called for new flows only, so that others pay nothing.
 */
static __always_inline int service_martian(const struct packet *p,
					   const struct frontend *f)
{
	return addr_is_martian(&p->tuple.saddr, p->v4) ||
	       (addr_equal(&p->tuple.saddr, &p->tuple.daddr) &&
		!(f->flags & FRONTEND_LOADBALANCER));
}

/*
 * Places the backend of the saved packet's new flow (in the scratch) and sets
 * the source for its replies to return to. `near`: the API places it on this
 * node.
 */
__noinline int service_place(ctx_t *ctx, __u32 scope, __u32 near)
{
	struct conn_scratch *s = conn_scratch();
	struct packet *p = packet_saved();
	enum route_place place;
	struct conn *c;

	if (!ctx || !s || !p)
		return REASON_DROP_REWRITE;
	c = &s->forward;
	if (scope == SCOPE_EXTERNAL) {
		place = route_backend(ctx, p, &c->nat, (int)near);
		if (place == ROUTE_NOWHERE)
			return REASON_DROP_NO_SNAT_ADDR;
		c->flags |= place == ROUTE_HERE ? CONN_LOCAL : CONN_SNAT;
		return STEP_NEXT;
	}
	c->nat.saddr = p->tuple.saddr;
	if (near)
		c->flags |= CONN_LOCAL;
	if (!addr_equal(&p->tuple.saddr, &c->nat.daddr))
		return STEP_NEXT;
	/*
	 * a pod of another node that reaches itself is no hairpin here: SNAT
	 * serves it
	 */
	c->flags |= CONN_SNAT | CONN_HAIRPIN;
	return route_node_source(p, &c->nat.saddr) ? REASON_DROP_NO_SNAT_ADDR :
						     STEP_NEXT;
}

/*
 * Fills the scratch's forward entry with the translation of a new flow, and
 * creates it. `node`: CONN_NODE or 0.
 */
static __always_inline int service_connect(ctx_t *ctx, const struct packet *p,
					   const struct frontend *f, __u8 scope,
					   struct conn_scratch *s, __u8 node)
{
	struct conn *c = &s->forward;
	__u32 hash = flow_hash(&p->tuple, p->tuple.sport);
	__u32 id = f->affinity_seconds ?
			   (__u32)service_backend_affine(ctx) :
			   table_backend(f, hash);
	struct backend *b = backend_lookup(id);
	int step;

	if (!b)
		return REASON_DROP_STALE;
	if (HOOK_BEFORE_STACK && (b->flags & BACKEND_LOCAL))
		return REASON_PASS_LOCAL;
	__builtin_memset(c, 0, sizeof(*c));
	c->backend_id = id;
	c->backend_generation = b->generation;
	c->service_id = f->service_id;
	c->flags = CONN_FORWARD | node;
	c->nat.daddr = b->addr;
	c->nat.dport = b->port;
	c->nat.proto = p->tuple.proto;
	step = service_place(ctx, scope, b->flags & BACKEND_LOCAL);
	if (step != STEP_NEXT)
		return step;
	if (HOOK_BEFORE_STACK && (c->flags & CONN_LOCAL))
		return REASON_PASS_LOCAL;
	if ((c->flags & CONN_LOCAL) && scope == SCOPE_EXTERNAL &&
	    forward_detours(ctx))
		c->flags |= CONN_DETOUR;
	if (conn_create(ctx, p, s, hash))
		return REASON_DROP_NO_PORT;
	return STEP_NEXT;
}

/* Returned by service_new(), besides reasons: the flow now exists. */
#define STEP_CONNECTED (-2)

/* Begins a flow for a packet to frontend `f` without one. */
static __always_inline int service_new(ctx_t *ctx, struct packet *p,
				       const struct frontend *f, __u8 scope,
				       struct conn_scratch *s, __u8 node)
{
	int step;

	if (f->flags & FRONTEND_ENDED)
		return STEP_NEXT;
	if (own_socket(ctx))
		return REASON_PASS_OWN;
	if (service_martian(p, f))
		return REASON_DROP_MARTIAN;
	/* connect() does not check ranges either */
	if ((f->flags & FRONTEND_RANGES) && !node &&
	    !service_source_allowed(ctx, f->service_id))
		return REASON_DROP_SOURCE_RANGE;
	if (!f->table_size)
		return f->flags & FRONTEND_DROP ? REASON_DROP_NO_BACKEND :
						  REASON_REJECT_NO_BACKEND;
	step = service_connect(ctx, p, f, scope, s, node);
	return step == STEP_NEXT ? STEP_CONNECTED : step;
}

/*
 * The owner of the socket that dialled the frontend of a new flow, which is in
 * the scratch. 0: the packet's destination is the frontend.
 */
#define DIALLED_BY_POD 1
#define DIALLED_BY_NODE 2

/* As service_new(), for the saved packet. `dialled`: DIALLED_BY_* or 0. */
__noinline int service_begin(ctx_t *ctx, __u32 scope, __u32 dialled)
{
	struct conn_scratch *s = conn_scratch();
	struct packet *p = packet_saved();
	struct frontend *f;

	if (!ctx || !p || !s)
		return REASON_DROP_REWRITE;
	if (!dialled) {
		s->frontend.addr = p->tuple.daddr;
		s->frontend.port = p->tuple.dport;
		s->frontend.proto = p->tuple.proto;
		s->frontend.scope = (__u8)scope;
	}
	f = bpf_map_lookup_elem(&frontends, &s->frontend);
	return f ? service_new(ctx, p, f, (__u8)scope, s,
			       dialled == DIALLED_BY_NODE ? CONN_NODE : 0) :
		   STEP_NEXT;
}

/*
 * May this packet of the client to frontend `f` use `c`? NULL: the entry alone
 * decides.
 */
static __always_inline int service_follows(ctx_t *ctx, const struct packet *p,
					   const struct frontend *f,
					   struct conn *c)
{
	/*
	 * a UDP flow ends with its Service; another Service may have the
	 * address then
	 */
	if (p->tuple.proto == IPPROTO_UDP && f &&
	    c->service_id != f->service_id)
		return 0;
	return conn_usable(c, p) && conn_owns(ctx, &p->tuple, c);
}

/* May this be a reply to a flow with a translated source? */
static __always_inline int service_snat_port(const struct packet *p)
{
	return p->tuple.dport >= snat_port_min &&
	       p->tuple.dport <= snat_port_max;
}

/*
 * Seconds without a datagram of its client after which a UDP flow's ports may
 * belong to another flow: the kernel reuses an ephemeral port at once.
 * last_seen is up to one second late. A socket that sends to the backend's
 * address must not end a flow in use.
 */
#define UDP_SILENT 2

/* As service_forget(), for the saved packet. */
__noinline int service_forget_saved(__u32 datagram)
{
	struct packet *p = packet_saved();
	struct tuple reply, forward;
	struct conn *c, *other;

	if (!p)
		return 0;
	tuple_turn(&p->tuple, &reply);
	c = conn_lookup(&reply);
	if (!c || (c->flags & (CONN_FORWARD | CONN_OWN)))
		return 0;
	other = conn_mirror_of(&reply, c);
	if (datagram && other &&
	    conn_half_age(other, conn_now()) <= UDP_SILENT * hz)
		return 0;
	tuple_turn(&c->nat, &forward);
	if (other)
		bpf_map_delete_elem(&connections, &forward);
	bpf_map_delete_elem(&connections, &reply);
	return 0;
}

/* May the packet begin a connection? `udp`: count each datagram as such. */
static __always_inline int service_may_begin(const struct packet *p, int udp)
{
	if (p->tuple.proto == IPPROTO_UDP)
		return udp;
	return (p->tcp_flags & (TH_SYN | TH_ACK)) == TH_SYN;
}

/*
 * Deletes the entries of an earlier flow with the same ports, when a client
 * begins a connection to a backend's own address: they would translate its
 * replies. Called for packets that are not for a Service. `udp`: check
 * datagrams too, all of them, since they have no SYN.
 */
static __always_inline void service_forget(const struct packet *p, int udp)
{
	if (service_may_begin(p, udp) && packet_save(p))
		service_forget_saved(p->tuple.proto == IPPROTO_UDP);
}

/*
 * Is `c` the entry of a reply to translate? UDP has no close: its flow ends
 * when neither side has sent for its timeout.
 */
static __always_inline int service_is_reply(const struct packet *p,
					    const struct conn *c)
{
	return !(c->flags & (CONN_FORWARD | CONN_OWN)) &&
	       !(p->tuple.proto == IPPROTO_UDP && conn_expired(&p->tuple, c));
}

/* The entry of a backend's reply, or NULL. */
static __always_inline struct conn *service_reply(const struct packet *p)
{
	struct conn *c = conn_lookup(&p->tuple);

	return c && service_is_reply(p, c) ? c : 0;
}

/*
 * Does the entry alone decide about the packet? Yes for a reply, and for a
 * client's packet of an established TCP connection: that outlives its frontend.
 * A client's datagram has to be of the Service that has the frontend, which the
 * entry remembers for an epoch. An old UDP entry may have expired; then a
 * frontend gets the packet.
 */
static __always_inline int service_decides(const struct packet *p,
					   const struct conn *c, __u32 epoch)
{
	if (c->flags & CONN_OWN)
		return 0;
	if (p->tuple.proto == IPPROTO_UDP)
		return conn_fresh(c) &&
		       (!(c->flags & CONN_FORWARD) ||
			(!(epoch & 1) && c->frontend_epoch == epoch + 1));
	return !(c->flags & CONN_FORWARD) ||
	       (p->tcp_flags & (TH_SYN | TH_ACK)) != TH_SYN;
}

/*
 * Finds the flow of a packet that was received in `scope` and, unless its entry
 * alone decides, its frontend; either may be NULL. Without both, and for most
 * packets after one look at frontend_bits, 0. A client's flow without a frontend
 * is one whose entry decides.
 */
static __always_inline int service_find(const struct packet *p, __u8 scope,
					struct frontend **f, struct conn **c)
{
	struct frontend_key key = {
		.addr = p->tuple.daddr,
		.port = p->tuple.dport,
		.proto = p->tuple.proto,
		.scope = scope,
	};
	int possible = frontend_possible(&key);
	__u32 epoch = 1;

	*f = 0;
	if (!possible && !service_snat_port(p) &&
	    !(scope == SCOPE_INTERNAL && route_by_source()))
		return 0;
	*c = conn_lookup(&p->tuple);
	/* read before the frontend, so that a change after it is noticed */
	if (*c && p->tuple.proto == IPPROTO_UDP &&
	    ((*c)->flags & CONN_FORWARD))
		epoch = frontend_epoch_now();
	if (*c && service_decides(p, *c, epoch))
		return 1;
	if (possible)
		*f = bpf_map_lookup_elem(&frontends, &key);
	/* 127.0.0.1 in a packet is never that of the node */
	if (*f && ((*f)->flags & FRONTEND_LOOPBACK))
		*f = 0;
	if (!*f)
		return *c && !((*c)->flags & (CONN_OWN | CONN_FORWARD));
	if (*c && !(epoch & 1) && (*c)->service_id == (*f)->service_id)
		(*c)->frontend_epoch = epoch + 1;
	return 1;
}

/* Sends a reply to its client; STEP_NEXT when another hook does that. */
static __always_inline int service_answer(ctx_t *ctx, struct packet *p,
					  struct conn *c, __u8 scope)
{
	if (forward_answers_elsewhere(c, scope))
		return STEP_NEXT;
	conn_touch(ctx, c, p);
	return forward_answer(ctx, p, c);
}

/*
 * Handles a packet to frontend `f` or of the flow `c`; either may be NULL. An
 * existing flow has precedence over the frontend: a reply to a source port of
 * ours, a flow of the node, a client's flow. STEP_NEXT when it is none of
 * these. `dialled`: as for service_begin().
 */
static __always_inline int service_step(ctx_t *ctx, struct packet *p,
					const struct frontend *f,
					struct conn *c, __u8 scope, int dialled)
{
	int step;

	if (c && service_is_reply(p, c))
		return service_answer(ctx, p, c, scope);
	if (!f && !(c && (c->flags & CONN_FORWARD)))
		return STEP_NEXT;
	if (c && (c->flags & CONN_OWN) && !conn_expired(&p->tuple, c)) {
		c->last_seen = conn_now();
		return REASON_PASS_OWN;
	}
	if (c && (c->flags & CONN_FORWARD) && service_follows(ctx, p, f, c)) {
		conn_touch(ctx, c, p);
	} else {
		if (!packet_save(p))
			return REASON_DROP_REWRITE;
		step = service_begin(ctx, scope, (__u32)dialled);
		if (step != STEP_CONNECTED)
			return step;
		c = conn_lookup(&p->tuple);
		if (!c)
			return REASON_DROP_STALE;
	}
	return forward_request(ctx, p, c, scope);
}

#endif
