"""The images: made once, pushed to the registry's storage once in every form, and kept between runs."""

import dataclasses
import json
import pathlib
import tempfile

from harness import access, processes, servers

BENCH = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Image:
    """What a job reads, and what it prints when it did its work."""

    name: str
    about: str
    script: str  # below bench/; makes DIRECTORY/oci with the image's name as tag, or does nothing if it is there
    expected: str  # regular expression of the job's output
    arguments: tuple = ()  # of the script; {images} is the directory of all images
    needs: tuple = ()  # images to make first
    optional: bool = False  # made and measured only when it is named
    every_system: bool = False  # else the main ones only, unless systems are named


@dataclasses.dataclass(frozen=True)
class Layers:
    """Of one form of an image, as the registry has them."""

    sizes: dict  # digest -> bytes

    @property
    def size_bytes(self):
        return sum(self.sizes.values())


IMAGES = {image.name: image for image in (
    Image("web", "Debian, nginx and a small site in 3 layers; answers one request", "web-image.sh", r"200 OK \d+ bytes",
          arguments=("{images}/ml",), needs=("ml",)),
    Image("ml", "Debian, python3 with scikit-learn and 256 MiB of weights in 3 layers; trains an SVC", "ml-image.sh",
          r"score 0\.\d+ in", every_system=True),
    Image("layers3", "Debian's base in 3 layers; reads 300 files", "generated-image.py", r"read \d+",
          arguments=("layers", "3", "{images}/ml/l1.tar"), needs=("ml",)),
    Image("layers60", "the same files in 60 layers", "generated-image.py", r"read \d+",
          arguments=("layers", "60", "{images}/ml/l1.tar"), needs=("ml",)),
    Image("files", "100,000 small files; finds all, reads 1 %", "generated-image.py", r"100000 files \d+ bytes",
          arguments=("files", "100000")),
    Image("weights", "one file of 4 GiB; reads it once", "generated-image.py", r"4096\+0 records in",
          arguments=("weights", "4"), optional=True),
)}
# For many containers at once.
SERVICES = tuple(Image(f"service{number}", "Debian's base and 100 MB of its own; reads 300 files", "generated-image.py",
                       r'"read": \d+', arguments=("service", str(number), "{images}/ml/l1.tar"), needs=("ml",))
                 for number in range(10))


class ImageStore:
    """The layouts below `directory` and their forms in a registry: `plain` is the layers as gzip, `esgz` as eStargz,
    `landmarks` as eStargz with the files that the job opens first, `optimized` as `starling optimize` writes it,
    `peer-optimized` as the peer's own tool does (`peers`: a peers.Peers)."""

    def __init__(self, directory, registry, starling, say, peers=None):
        self.directory = pathlib.Path(directory)
        self.registry = registry
        self.starling = starling
        self.say = say
        self.peers = peers

    def make(self, image):
        """The image's OCI layout."""
        layout = self.directory / image.name / "oci"
        for name in image.needs:
            self.make(IMAGES[name])
        if not (layout / "index.json").exists():
            self.say(f"making image {image.name}")
            processes.run(BENCH / image.script, self.directory / image.name,
                          *[argument.format(images=self.directory) for argument in image.arguments], timeout=1800)
        return layout

    @staticmethod
    def repository(image):
        return f"bench/{image.name}"

    def reference(self, image, form, host):
        return f"{host}/{self.repository(image)}:{form}"

    def provide(self, image, form):
        """Makes sure that the registry has that form of the image; gives its layers."""
        layout = self.make(image)
        stamp = self.registry.storage / f"{image.name}-{form}.json"
        source = (layout / "index.json").read_text()
        if not stamp.exists() or json.loads(stamp.read_text())["source"] != source:
            self._push(image, form, layout)
            stamp.write_text(json.dumps({"source": source}))
        return self._layers(image, form)

    def attach_profile(self, image, form):
        """Makes sure that the registry has, beside a provided form of the image, what a run of its own command needs."""
        target = self.reference(image, form, self.registry.host)
        stamp = self.registry.storage / f"{image.name}-{form}-profile.json"
        digest = json.loads(processes.run("skopeo", "inspect", "--tls-verify=false", f"docker://{target}"))["Digest"]
        if stamp.exists() and json.loads(stamp.read_text())["image"] == digest:
            return
        self.say(f"recording a run of {image.name}")
        with tempfile.TemporaryDirectory(dir=self.directory) as root:
            processes.run(self.starling, "profile", "record", "--root", root, target, timeout=600)
            processes.run(self.starling, "profile", "push", "--root", root, target)
        stamp.write_text(json.dumps({"image": digest}))

    def _push(self, image, form, layout):
        plain = f"oci:{layout}:{image.name}"
        target = f"docker://{self.reference(image, form, self.registry.host)}"
        if form == "plain":
            self.say(f"pushing {image.name}")
            processes.run("skopeo", "copy", "-q", "--dest-tls-verify=false", plain, target)
        elif form == "esgz":
            self.say(f"converting {image.name} to eStargz")
            processes.run(self.starling, "convert", plain, target)
        elif form == "landmarks":
            wanted = self.directory / image.name / "opened.txt"
            if not wanted.exists():
                self.say(f"recording what the job of {image.name} opens")
                wanted.write_text("".join(f"{path}\n" for path in access.record(layout, image.name, self.directory)))
            self.say(f"converting {image.name} to eStargz with landmarks")
            processes.run(self.starling, "convert", "--prioritize", wanted, plain, target)
        elif form == "optimized":
            self.say(f"optimizing {image.name}")
            processes.run(self.starling, "optimize", plain, "-t", target, timeout=600)
        elif form == "peer-optimized":
            self.provide(image, "plain")
            self.say(f"optimizing {image.name} by the peer's tool")
            self._optimize_by_peer(*(self.reference(image, name, self.registry.host) for name in ("plain", form)))
        else:
            raise processes.BenchError(f"no form {form} of images")

    def _optimize_by_peer(self, source, target):
        program, containerd_bin = self.peers.stargz_optimize(), self.peers.containerd()
        work = pathlib.Path(tempfile.mkdtemp(prefix="o", dir=self.directory))
        try:
            with servers.Containerd(work, containerd_bin, unpack=[("overlayfs", "")]) as containerd:
                processes.run(*containerd.ctr("images", "pull", "--plain-http", source), timeout=600)
                processes.run(program, "-address", containerd.address, "-namespace", servers.NAMESPACE, source, target,
                              timeout=1200)
                processes.run(*containerd.ctr("images", "push", "--plain-http", target), timeout=600)
        finally:
            processes.remove_cgroups(servers.NAMESPACE)
            processes.remove_tree(work)

    def _layers(self, image, form):
        manifest = json.loads(processes.run("skopeo", "inspect", "--raw", "--tls-verify=false",
                                            f"docker://{self.reference(image, form, self.registry.host)}"))
        return Layers({layer["digest"]: layer["size"] for layer in manifest["layers"]})
