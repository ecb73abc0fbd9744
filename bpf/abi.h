/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * abi.h - every struct that crosses between the BPF programs and user space.
 *
 * agent/abi/layout.ts is generated from the BTF of these types; `make check`
 * fails when it is stale. A change of any layout here is a new MAGLANE_ABI.
 *
 * Byte order: addresses are bytes as they stand in the packet. Every integer,
 * ports included, is in host order, so that `bpftool map dump` reads well;
 * parse.h and rewrite.h are the only places that convert.
 */
#ifndef MAGLANE_ABI_H
#define MAGLANE_ABI_H

#include <linux/types.h>

/* Pins live in a directory named after it: two ABIs never share a map. */
#define MAGLANE_ABI 1

#define MAGLANE_STATIC_ASSERT(cond) _Static_assert(cond, #cond)

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d. */
struct addr {
	__u8 b[16];
} __attribute__((aligned(4)));

/*
 * From where a frontend is reached. The two differ when a traffic policy is
 * Local: what a client of this node may use is not what an outside one may.
 */
enum frontend_scope {
	SCOPE_EXTERNAL = 0, /* packets that enter by a device of the node */
	SCOPE_INTERNAL = 1, /* sockets and pods of this node */
};

struct frontend_key {
	struct addr addr;
	__u16 port;
	__u8 proto; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 scope; /* enum frontend_scope */
};

MAGLANE_STATIC_ASSERT(sizeof(struct frontend_key) == 20);

enum frontend_flag {
	FRONTEND_NODEPORT = 1 << 0,
	FRONTEND_CLUSTERIP = 1 << 1,
	FRONTEND_LOADBALANCER = 1 << 2,
	FRONTEND_EXTERNALIP = 1 << 3,
	/* 127.0.0.1 or ::1: reached by sockets of the node's own namespace */
	FRONTEND_LOOPBACK = 1 << 4,
	/* no backend here, but elsewhere (a Local policy): drop, not reject */
	FRONTEND_DROP = 1 << 5,
	/* only for sources in the service's ranges (loadBalancerSourceRanges) */
	FRONTEND_RANGES = 1 << 6,
};

struct frontend {
	__u32 service_id; /* one per Service port; never 0 */
	__u32 flags;      /* enum frontend_flag */
	/* Maglev table: segment << 16 | first chunk; no meaning if table_size is 0 */
	__u32 table;
	__u32 table_size; /* slots, a prime; 0: no usable backend */
	__u32 backends;   /* distinct backends in the table, for people */
	__u32 affinity_seconds; /* 0: none */
};

MAGLANE_STATIC_ASSERT(sizeof(struct frontend) == 24);

/*
 * Who may use the frontends of a service that have FRONTEND_RANGES: the longest
 * prefix that matches. An IPv4 range is one of ::ffff:0:0/96.
 */
struct source_range_key {
	__u32 prefix_len; /* bits of what follows: 32 of the id, then the range's */
	__u32 service_id;
	struct addr addr; /* bits behind the range's are 0 */
};

MAGLANE_STATIC_ASSERT(sizeof(struct source_range_key) == 24);

/* An address of Services, by what its ports that are no frontend's get. */
enum service_address_flag {
	ADDRESS_CLUSTERIP = 1 << 0, /* the cluster's own: nothing else lives there */
	/* some frontend has a backend, reached from that scope */
	ADDRESS_USABLE_EXTERNAL = 1 << 1,
	ADDRESS_USABLE_INTERNAL = 1 << 2,
};

struct service_address {
	__u32 flags; /* enum service_address_flag */
};

/*
 * A bit for each service address, at its hash: a packet to another address
 * finds it clear, and needs no look into the hash map.
 */
#define ADDRESS_WORDS 4096 /* of 64 bits: 32 KiB */

/* Ranges of ClusterIPs (ServiceCIDR): what is not given out of them is dropped. */
#define SERVICE_CIDRS_MAX 8

struct service_cidr {
	struct addr net;
	struct addr mask;
};

struct service_cidrs {
	__u32 count;
	struct service_cidr cidr[SERVICE_CIDRS_MAX];
};

MAGLANE_STATIC_ASSERT(sizeof(struct service_cidrs) == 260);

enum backend_flag {
	BACKEND_VALID = 1 << 0, /* clear: the id is free, or its backend is gone */
	BACKEND_LOCAL = 1 << 1, /* an endpoint of this node: delivered by the stack */
};

/* Index of the array is the backend id; id 0 is never used. */
struct backend {
	struct addr addr;
	__u16 port;
	__u8 proto;
	__u8 pad;
	__u32 flags;      /* enum backend_flag */
	__u32 generation; /* grows each time that the id is given or taken away */
};

MAGLANE_STATIC_ASSERT(sizeof(struct backend) == 28);

/*
 * Maglev tables lie in segments of chunks: slot i of a table is
 * segment[table >> 16] [(table & 0xffff) + i / 16] .backend[i % 16].
 * The table's distinct backends follow it, from the next whole chunk on.
 */
#define TABLE_CHUNK_SLOTS 16
#define TABLE_SEGMENT_CHUNKS 16384 /* 1 MiB a segment */
#define TABLE_SEGMENTS 1024

struct table_chunk {
	__u32 backend[TABLE_CHUNK_SLOTS];
};

MAGLANE_STATIC_ASSERT(sizeof(struct table_chunk) == 64);

/* A client of a Service with sessionAffinity ClientIP, at one address of it. */
struct affinity_key {
	struct addr client; /* for a socket: its namespace's cookie, in the last 8 bytes */
	struct addr addr;
	__u16 port;
	__u8 proto;
	__u8 pad;
};

MAGLANE_STATIC_ASSERT(sizeof(struct affinity_key) == 36);

struct affinity {
	__u32 backend_id;
	__u32 last_used; /* jiffies, low 32 bits */
};

MAGLANE_STATIC_ASSERT(sizeof(struct affinity) == 8);

/* A datagram in fragments (RFC 791, RFC 8200): only the first has the ports. */
struct fragment_key {
	struct addr saddr;
	struct addr daddr;
	__u32 id;
	__u8 proto; /* IPv6 knows it at the first fragment only: 0 */
	__u8 pad[3];
};

MAGLANE_STATIC_ASSERT(sizeof(struct fragment_key) == 40);

struct fragment {
	__u16 sport;
	__u16 dport;
	__u32 seen; /* jiffies, low 32 bits */
	__u8 proto;
	__u8 pad[3];
};

MAGLANE_STATIC_ASSERT(sizeof(struct fragment) == 12);

/* Fragments that have overtaken their first wait for it, so many a datagram. */
#define HELD_SLOTS 16
/* The longest frame that can wait. */
#define HELD_BYTES 2048

struct held_key {
	struct fragment_key datagram;
	__u32 slot; /* in the order of arrival */
};

MAGLANE_STATIC_ASSERT(sizeof(struct held_key) == 44);

struct held {
	__u32 seen;    /* jiffies, low 32 bits */
	__u32 ifindex; /* came in by */
	__u32 len;
	__u8 frame[HELD_BYTES];
};

MAGLANE_STATIC_ASSERT(sizeof(struct held) == 2060);

/* Where one is put together: it is too big for a program's stack. */
struct held_scratch {
	struct held_key key;
	struct held held;
};

/* A flow's addresses and ports, in the direction of one packet. */
struct tuple {
	struct addr saddr;
	struct addr daddr;
	__u16 sport;
	__u16 dport;
	__u8 proto;
	__u8 pad[3];
};

MAGLANE_STATIC_ASSERT(sizeof(struct tuple) == 40);

enum conn_flag {
	CONN_FORWARD = 1 << 0, /* client to backend; clear: backend to client */
	CONN_LOCAL = 1 << 1,   /* the backend is an endpoint of this node */
	CONN_SNAT = 1 << 2,    /* the source is translated as well */
	CONN_HAIRPIN = 1 << 3, /* the client is the backend */
	/* what has been seen of a TCP connection, in the entry's direction */
	CONN_SYN = 1 << 4,
	CONN_ESTABLISHED = 1 << 5,
	CONN_FIN = 1 << 6,
	CONN_RST = 1 << 7,
	CONN_PEER_FIN = 1 << 8, /* the other direction has sent its FIN */
};

/*
 * One direction of a translated flow. A packet whose tuple is the key leaves
 * with `nat`. The other direction's entry is exactly the mirror: its key is
 * `nat` turned round, its nat is this key turned round; so each half can make
 * the other anew.
 */
struct conn {
	struct tuple nat;
	__u32 backend_id;
	__u32 backend_generation;
	__u32 service_id;
	__u32 flags;     /* enum conn_flag */
	__u32 last_seen; /* jiffies, low 32 bits */
	/* checksum differences (RFC 1624) of the translation, a flow's constants */
	__u32 addr_diff;
	__u32 port_diff;
	__u32 ifindex; /* hairpin: the pod's device; else 0 */
};

MAGLANE_STATIC_ASSERT(sizeof(struct conn) == 72);

/* What a socket dialled, by what it was given instead. */
struct sock_key {
	__u64 cookie;
	struct addr addr; /* backend */
	__u16 port;
	__u8 proto;
	__u8 pad[5];
};

MAGLANE_STATIC_ASSERT(sizeof(struct sock_key) == 32);

struct sock_frontend {
	struct addr addr;
	__u16 port;
	__u8 pad[2];
	__u32 service_id;
};

MAGLANE_STATIC_ASSERT(sizeof(struct sock_frontend) == 24);

/* What of the node changes while programs run. One entry, index 0. */
struct settings {
	struct addr snat_v4; /* source of what is forwarded to other nodes; :: if none */
	struct addr snat_v6;
};

MAGLANE_STATIC_ASSERT(sizeof(struct settings) == 32);

/* Why a packet or a connect() ended as it did: index of the counters map. */
enum reason {
	REASON_PASS_NOT_IP = 0,
	REASON_PASS_NOT_SERVICE,
	REASON_PASS_FRAGMENT,     /* XDP: out of order, left to TC; egress: its first is unknown */
	REASON_PASS_PROTOCOL,
	REASON_PASS_CHECKSUM,     /* XDP: an unfinished checksum, left to TC */
	REASON_PASS_LOCAL,        /* XDP: a local backend, left to TC */
	REASON_PASS_NO_BACKEND,   /* XDP: refused by TC */
	REASON_PASS_FIB,          /* XDP: no next hop known, left to TC */
	REASON_PASS_DEVICE,       /* XDP: the way out takes no XDP frames */
	REASON_TO_LOCAL,          /* translated, delivered by the stack */
	REASON_TO_ROUTED,         /* translated, routed by the stack to another node */
	REASON_TO_REMOTE,         /* translated both ways, forwarded to another node */
	REASON_TO_CLIENT,         /* a reply, its source is the frontend again */
	REASON_REPLY_ROUTED,      /* a reply on its way through the stack, likewise */
	REASON_TO_SELF,           /* hairpin */
	REASON_FRAGMENT_HELD,     /* has overtaken its datagram's first, waits for it */
	REASON_FRAGMENT_RELEASED, /* the first has come: both begin anew */
	REASON_REJECT_NO_BACKEND, /* RST or ICMP port unreachable */
	REASON_REJECT_TOO_BIG,    /* fragmentation needed, or packet too big */
	REASON_REJECT_NO_PORT,    /* a port that a service address does not have */
	REASON_DROP_NO_BACKEND,   /* Local policy, backends elsewhere */
	REASON_DROP_NO_ADDRESS,   /* not given out, in the range of ClusterIPs */
	REASON_DROP_PROTOCOL,     /* to a service address, neither TCP nor UDP */
	REASON_DROP_SOURCE_RANGE, /* a source that the Service does not allow */
	REASON_ECHO,              /* an ICMP echo request, answered */
	REASON_DROP_MALFORMED,
	REASON_DROP_MARTIAN,      /* to a frontend, from where nobody can be */
	REASON_DROP_FRAGMENT,     /* before its first, and no room to wait */
	REASON_DROP_TTL,
	REASON_DROP_NO_PORT,      /* no free port for SNAT */
	REASON_DROP_NO_ROUTE,
	REASON_DROP_NO_SNAT_ADDR,
	REASON_DROP_STALE,        /* the connection's backend is gone */
	REASON_DROP_REWRITE,      /* a helper refused */
	REASON_SOCK_CONNECT,
	REASON_SOCK_SENDMSG,
	REASON_SOCK_REFUSED,
	REASON_CONN_NEW,
	REASON_CONN_RESUMED,      /* TCP from its middle: was evicted, or another node's */
	REASON_CONN_EVICTED_HALF, /* one half was gone and was made anew */
	REASON_COUNT,
};

/* Entries of the counters map: more than there are, so that it can stay when one comes. */
#define REASONS_MAX 64

MAGLANE_STATIC_ASSERT(REASON_COUNT <= REASONS_MAX);

struct counter {
	__u64 packets;
	__u64 bytes;
};

#endif
