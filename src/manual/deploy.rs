//! Containers and services: the least privileges that work.
//!
//! mosaic needs of the kernel
//!
//! | what | for | without |
//! |---|---|---|
//! | `io_uring_setup`, `io_uring_enter`, `io_uring_register` | every shard, captures included | refuses to start |
//! | locked memory, 512 KiB a shard | the same | refuses to start |
//! | `CAP_NET_RAW` | `net_af_packet` | the device cannot be opened |
//! | `CAP_NET_ADMIN` | promiscuous mode, `net_tap` | a warning, or the device cannot be opened |
//! | `CAP_IPC_LOCK` | memory that network cards write to | locked memory must suffice |
//! | `/dev/vfio` | network cards | virtual devices only |
//! | huge pages | most network cards | slower, virtual devices only |
//!
//! and never root. `mosaic doctor`, run where mosaic is to run, says what is missing there and exits with 1 if something
//! is that nothing works without. It takes `--json`.
//!
//! # Huge pages
//!
//! ```text
//! echo vm.nr_hugepages=512 >/etc/sysctl.d/80-mosaic.conf    # 1 GB in pages of 2 MB
//! sysctl --system
//! ```
//!
//! Nothing needs to be mounted: mosaic takes them without files. In a container a mount of `/dev/hugepages` is needed only
//! where `eal_args` asks for files in it.
//!
//! # Containers
//!
//! The default seccomp profiles of present container engines forbid io_uring. `examples/deploy/seccomp.json` allows what mosaic
//! and DPDK use and nothing else; `net_af_xdp` needs `bpf` and `AF_XDP` (44) in addition.
//!
//! ```text
//! docker run --rm --security-opt seccomp=examples/deploy/seccomp.json --security-opt no-new-privileges \
//!     --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW --cap-add IPC_LOCK --ulimit memlock=-1 \
//!     --network host -v /etc/mosaic:/etc/mosaic:ro IMAGE mosaic run -c /etc/mosaic/mosaic.toml
//! ```
//!
//! With network cards add `--device /dev/vfio`; where shards are to stay on cores, `--cpuset-cpus 2,3`. An orchestrator wants
//! the same under other names: `seccompProfile: {type: Localhost}`, `capabilities: {drop: [ALL], add: [NET_ADMIN, NET_RAW,
//! IPC_LOCK]}`, `hugepages-2Mi` among the limits.
//!
//! # A service
//!
//! `examples/deploy/mosaic.service` runs mosaic as a user that exists only while it runs. `systemctl stop` drains: what has
//! arrived is processed and every flow recorded. The connection log is in `/var/log/mosaic`.
//!
//! ```ini
#![doc = include_str!("../../examples/deploy/mosaic.service")]
//! ```
//!
//! `systemd-analyze security` rates it 2.4 (*OK*; 0 is tight, 10 restricts nothing): what is left is the network itself. A
//! test runs mosaic on an interface as another user, with these capabilities, first under the container's profile, then under
//! the unit's filter of system calls, and holds that rating.
//!
//! # Starting again
//!
//! A process that was killed leaves nothing that a new one minds: packet buffers have no files, and the kernel takes devices
//! back. At most an empty folder stays below `/run/dpdk`, or below `XDG_RUNTIME_DIR`. `Restart=on-failure` is enough.
