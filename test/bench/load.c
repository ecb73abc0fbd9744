/*
 * load.c - measures sockets on one core: a server, and clients that count
 * operations. Addresses are numeric, IPv4 or IPv6.
 *
 *   load serve  ADDRESS PORT           TCP and UDP, until stdin ends
 *   load crr    ADDRESS PORT SECONDS   connect, 64 bytes out, 64 back, close
 *   load rr     ADDRESS PORT SECONDS   UDP, 64 bytes out, 64 back
 *   load stream ADDRESS PORT SECONDS   one TCP connection at full speed
 *
 * A client prints one line: operations, seconds, p50 and p99 in microseconds,
 * bytes. Each operation begins when the previous one has ended.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define CHUNK (256 * 1024)
#define SAMPLES (1 << 22)

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static socklen_t address(const char *text, const char *port,
			 struct sockaddr_storage *out)
{
	struct sockaddr_in6 *v6 = (void *)out;
	struct sockaddr_in *v4 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(port));
		return sizeof(*v6);
	}
	if (inet_pton(AF_INET, text, &v4->sin_addr) != 1)
		die(text);
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)atoi(port));
	return sizeof(*v4);
}

static int make(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		die("socket");
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* ---- server ---- */

static int serve_socket(int type, const struct sockaddr_storage *a,
			socklen_t len)
{
	int fd = make(a->ss_family, type), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const void *)a, len))
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 1024))
		die("listen");
	return fd;
}

static void serve_watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void serve_udp(int fd)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char data[2048];
	ssize_t got = recvfrom(fd, data, sizeof(data), MSG_DONTWAIT,
			       (void *)&from, &len);

	if (got > 0)
		sendto(fd, data, (size_t)got, 0, (void *)&from, len);
}

/* Answers a message of 64 bytes, and only reads longer data of a stream. */
static void serve_tcp(int fd)
{
	static char data[CHUNK];
	ssize_t got = recv(fd, data, sizeof(data), MSG_DONTWAIT);

	if (got == MESSAGE)
		send(fd, data, MESSAGE, MSG_NOSIGNAL);
	else if (got == 0 || (got < 0 && errno != EAGAIN))
		close(fd);
}

static void serve(const struct sockaddr_storage *a, socklen_t len)
{
	int tcp = serve_socket(SOCK_STREAM, a, len);
	int udp = serve_socket(SOCK_DGRAM, a, len);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[64];

	serve_watch(epoll, tcp);
	serve_watch(epoll, udp);
	serve_watch(epoll, STDIN_FILENO);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == STDIN_FILENO)
				return;
			if (fd == tcp)
				serve_watch(epoll, accept4(tcp, 0, 0, SOCK_CLOEXEC));
			else if (fd == udp)
				serve_udp(udp);
			else
				serve_tcp(fd);
		}
	}
}

/* ---- clients ---- */

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void report(float *us, size_t count, double seconds, uint64_t bytes)
{
	qsort(us, count, sizeof(*us), by_size);
	printf("{\"count\":%zu,\"seconds\":%.6f,\"p50\":%.1f,\"p99\":%.1f,"
	       "\"bytes\":%llu}\n",
	       count, seconds, count ? us[count / 2] : 0.0,
	       count ? us[count * 99 / 100] : 0.0, (unsigned long long)bytes);
}

static void crr_once(const struct sockaddr_storage *a, socklen_t len)
{
	/* RST leaves no port in TIME_WAIT, so ports do not run out */
	struct linger linger = { .l_onoff = 1 };
	char data[MESSAGE] = { 0 };
	int fd = make(a->ss_family, SOCK_STREAM);

	if (connect(fd, (const void *)a, len))
		die("connect");
	if (send(fd, data, sizeof(data), MSG_NOSIGNAL) != sizeof(data))
		die("send");
	if (recv(fd, data, sizeof(data), MSG_WAITALL) != sizeof(data))
		die("recv");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* The socket is unconnected, so every sendto() is translated. */
static void rr_once(int fd, const struct sockaddr_storage *a, socklen_t len)
{
	char data[MESSAGE] = { 0 };
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (sendto(fd, data, sizeof(data), 0, (const void *)a, len) < 0)
		die("sendto");
	if (poll(&p, 1, 1000) != 1)
		die("no answer");
	if (recv(fd, data, sizeof(data), 0) < 0)
		die("recv");
}

static void repeat(int udp, const struct sockaddr_storage *a, socklen_t len,
		   double seconds)
{
	float *us = malloc(SAMPLES * sizeof(*us));
	double start = now(), last = start, t = start;
	int fd = udp ? make(a->ss_family, SOCK_DGRAM) : -1;
	size_t count = 0;

	while (t - start < seconds && count < SAMPLES) {
		if (udp)
			rr_once(fd, a, len);
		else
			crr_once(a, len);
		t = now();
		us[count++] = (float)((t - last) * 1e6);
		last = t;
	}
	report(us, count, t - start, count * MESSAGE * 2);
}

static void stream(const struct sockaddr_storage *a, socklen_t len,
		   double seconds)
{
	static char data[CHUNK];
	int fd = make(a->ss_family, SOCK_STREAM);
	double start = now(), t = start;
	uint64_t bytes = 0;

	if (connect(fd, (const void *)a, len))
		die("connect");
	while (t - start < seconds) {
		ssize_t sent = send(fd, data, sizeof(data), MSG_NOSIGNAL);

		if (sent < 0)
			die("send");
		bytes += (uint64_t)sent;
		t = now();
	}
	report(0, 0, t - start, bytes);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage a;
	socklen_t len;

	if (argc < 4) {
		fputs("usage: load serve|crr|rr|stream ADDRESS PORT [SECONDS]\n",
		      stderr);
		return 2;
	}
	len = address(argv[2], argv[3], &a);
	if (!strcmp(argv[1], "serve"))
		serve(&a, len);
	else if (argc < 5)
		return 2;
	else if (!strcmp(argv[1], "stream"))
		stream(&a, len, atof(argv[4]));
	else
		repeat(!strcmp(argv[1], "rr"), &a, len, atof(argv[4]));
	return 0;
}
