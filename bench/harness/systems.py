"""What is compared: ways from a registry to a running container."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class System:
    name: str
    about: str
    form: str  # of the image
    snapshotter: str
    daemon: str = ""  # which proxy plugin serves it: "", "starling" or "stargz"
    transfer: tuple = ()  # settings of containerd's transfer service
    differ: str = ""
    plugins: str = ""  # further configuration of containerd
    lazy: bool = False
    profile: bool = False  # what an earlier run of the image needed is attached to it, and the node has taken that
    optional: bool = False  # measured only when it is named


@dataclasses.dataclass(frozen=True)
class Link:
    name: str
    about: str
    rtt_ms: float = 0
    megabits: float = 0  # per direction; 0: not shaped

    @property
    def shaped(self):
        return self.megabits > 0 or self.rtt_ms > 0

    def seconds(self, size_bytes):
        """What the line needs for that many bytes; 0 where it has no limit."""
        return size_bytes * 8 / (self.megabits * 1e6) if self.megabits else 0


PARALLEL = (("max_concurrent_downloads", 8), ("concurrent_layer_fetch_buffer", 8 << 20), ("max_concurrent_unpacks", 4))

SYSTEMS = {system.name: system for system in (
    System("overlayfs", "containerd 2.3 as it comes", "plain", "overlayfs"),
    System("overlayfs-parallel", "containerd 2.3, parallel fetch and unpack", "plain", "overlayfs", transfer=PARALLEL),
    System("erofs", "containerd 2.3, EROFS snapshotter and differ, parallel fetch and unpack; where mkfs.erofs is older "
           "than 1.7, its images are written by the library go-erofs", "plain", "erofs",
           transfer=PARALLEL, differ="erofs",
           plugins='[plugins."io.containerd.service.v1.diff-service"]\n  default = ["erofs", "walking"]\n'),
    System("stargz", "stargz-snapshotter 0.18.2, eStargz", "esgz", "stargz", daemon="stargz", lazy=True),
    System("stargz-landmarks", "stargz-snapshotter 0.18.2, eStargz with the job's files first", "landmarks", "stargz",
           daemon="stargz", lazy=True),
    System("starling", "Starling, eStargz", "esgz", "stargz", daemon="starling", lazy=True),
    System("starling-landmarks", "Starling, eStargz with the job's files first", "landmarks", "stargz",
           daemon="starling", lazy=True),
    System("starling-profile", "Starling, eStargz, with the access profile of an earlier run (`starling profile pull`)",
           "esgz", "stargz", daemon="starling", lazy=True, profile=True),
    System("starling-gzip", "Starling, the image as overlayfs gets it", "plain", "stargz", daemon="starling"),
    # Whose tool makes the image that starts sooner?
    *(System(f"{daemon}-{form}", f"{name}, {about}", form, "stargz", daemon=daemon, lazy=True, optional=True)
      for daemon, name in (("starling", "Starling"), ("stargz", "stargz-snapshotter 0.18.2"))
      for form, about in (("optimized", "the image as `starling optimize` writes it"),
                          ("peer-optimized", "the image as stargz-snapshotter's `ctr-remote image optimize` writes it"))),
)}
DEFAULT_SYSTEMS = tuple(name for name, system in SYSTEMS.items() if not system.optional)
MAIN_SYSTEMS = ("overlayfs", "stargz", "starling")

LINKS = {link.name: link for link in (
    Link("loopback", "no shaping"),
    Link("wan", "20 ms, 400 Mbit/s", rtt_ms=20, megabits=400),
)}
