/* The floor: what a C loop over rte_eth_rx_burst gets out of a device. Counterpart of port_loop.rs; same options, same
 * EAL arguments, same pool.
 *
 * usage: loop free|forward|send SECONDS BURST DEVICE [DEVICE]
 *   free      receive from the (first) device and free
 *   forward   receive from either device and send out of the other
 *   send      send 64-byte frames, receive nothing (the other end of a memif); until SECONDS are over
 *
 * It runs on core CORE of the environment, default 0.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define BURST_MAX 64
#define MBUFS 8191
#define CACHE 512
#define DESCRIPTORS 1024
/* Bursts between two looks at the clock. */
#define TURNS 4096

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	fprintf(stderr, "loop: %s: %s\n", what, rte_strerror(rte_errno));
	exit(1);
}

static void start(void)
{
	static char prefix[64], lcores[32];
	const char *core = getenv("CORE");
	char *arguments[] = { "loop", "--no-huge", "--no-shconf", "--iova-mode=va", "-m1024", prefix,
		"--no-telemetry", "--log-level=*:warning", "--no-pci", lcores, NULL };

	snprintf(lcores, sizeof(lcores), "--lcores=0@%s", core ? core : "0");
	snprintf(prefix, sizeof(prefix), "--file-prefix=mosaic-loop-%s", core ? core : "0");
	if (rte_eal_init(10, arguments) < 0)
		die("EAL");
}

static uint16_t open_device(const char *devargs)
{
	char name[64];
	static const struct rte_eth_conf conf;
	struct rte_mempool *pool;
	uint16_t port;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(devargs, ","), devargs);
	if (rte_dev_probe(devargs) != 0 || rte_eth_dev_get_port_by_name(name, &port) != 0)
		die(devargs);
	pool = rte_pktmbuf_pool_create(name, MBUFS, CACHE, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	if (!pool)
		die("pool");
	if (rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(port, 0, DESCRIPTORS, (unsigned int)SOCKET_ID_ANY, NULL, pool) != 0 ||
	    rte_eth_tx_queue_setup(port, 0, DESCRIPTORS, (unsigned int)SOCKET_ID_ANY, NULL) != 0 ||
	    rte_eth_dev_start(port) != 0)
		die(devargs);
	return port;
}

static uint64_t receive_and_free(uint16_t port, uint16_t burst)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	uint16_t count = rte_eth_rx_burst(port, 0, mbufs, burst);

	if (count)
		rte_pktmbuf_free_bulk(mbufs, count);
	return count;
}

static uint64_t forward(uint16_t from, uint16_t to, uint16_t burst)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	uint16_t count = rte_eth_rx_burst(from, 0, mbufs, burst);
	uint16_t sent;

	if (!count)
		return 0;
	sent = rte_eth_tx_burst(to, 0, mbufs, count);
	if (sent < count)
		rte_pktmbuf_free_bulk(mbufs + sent, count - sent);
	return count;
}

static uint64_t send_frames(uint16_t port, struct rte_mempool *pool, uint16_t burst)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	uint16_t sent, i;

	if (rte_pktmbuf_alloc_bulk(pool, mbufs, burst) != 0)
		return 0;
	for (i = 0; i < burst; i++)
		mbufs[i]->data_len = mbufs[i]->pkt_len = 64;
	sent = rte_eth_tx_burst(port, 0, mbufs, burst);
	if (sent < burst)
		rte_pktmbuf_free_bulk(mbufs + sent, burst - sent);
	return sent;
}

int main(int argc, char **argv)
{
	uint16_t ports[2], burst, turn, devices;
	uint64_t packets = 0, turn_packets = 0;
	struct rte_mempool *pool;
	double began = 0, now, length;
	char mode;

	if (argc < 5 || argc > 6)
		return fprintf(stderr, "usage: loop free|forward|send SECONDS BURST DEVICE [DEVICE]\n"), 2;
	mode = argv[1][1]; /* fRee, fOrward, sEnd */
	length = atof(argv[2]);
	burst = (uint16_t)atoi(argv[3]);
	if (burst < 1 || burst > BURST_MAX)
		return fprintf(stderr, "loop: BURST is 1 to %d\n", BURST_MAX), 2;
	start();
	devices = (uint16_t)(argc - 4);
	for (turn = 0; turn < devices; turn++)
		ports[turn] = open_device(argv[4 + turn]);
	if (devices == 1)
		ports[1] = ports[0];
	pool = mode == 'e' ? rte_pktmbuf_pool_create("send", MBUFS, CACHE, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY)
			   : NULL;
	/* The time runs from the first packet on: the other end of a memif may come later. */
	for (now = seconds(); began == 0 || now - began < length; now = seconds()) {
		if (began == 0 && packets > 0) {
			began = now;
			packets = 0;
		}
		for (turn = 0; turn < TURNS; turn++) {
			if (mode == 'r')
				turn_packets = receive_and_free(ports[0], burst);
			else if (mode == 'e')
				turn_packets = send_frames(ports[0], pool, burst);
			else
				turn_packets = forward(ports[turn & 1], ports[!(turn & 1)], burst);
			packets += turn_packets;
		}
	}
	printf("{\"loop\":\"c\",\"mode\":\"%s\",\"device\":\"%s\",\"burst\":%u,\"seconds\":%.3f,\"packets\":%llu,\"mpps\":%.3f}\n",
	       argv[1], argv[4], burst, now - began, (unsigned long long)packets, (double)packets / (now - began) * 1e-6);
	return 0;
}
