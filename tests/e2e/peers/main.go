// Writes an image of an OCI layout again in the lazy formats of other projects, by their own code:
//
//	peers LAYOUT TAG FORMAT NEWTAG
//
// FORMAT is one of
//
//	stargz-zstd       zstd:chunked of stargz-snapshotter
//	stargz-external   eStargz whose TOCs are in the image NEWTAG-esgztoc
//	containers-zstd   zstd:chunked of containers/storage, as podman and buildah push it
//
// Or reads one as their daemons do, and checks all that they promise of it:
//
//	peers read LAYOUT TAG stargz
//	peers read LAYOUT TAG containers DIRECTORY
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/externaltoc"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/containers/storage/pkg/chunked/compressor"
	"github.com/klauspost/compress/zstd"
)

const (
	chunkBytes    = 1 << 20
	zstdLayer     = "application/vnd.oci.image.layer.v1.tar+zstd"
	gzipLayer     = "application/vnd.oci.image.layer.v1.tar+gzip"
	manifestType  = "application/vnd.oci.image.manifest.v1+json"
	configType    = "application/vnd.oci.image.config.v1+json"
	refName       = "org.opencontainers.image.ref.name"
	tocLayer      = "containerd.io/snapshot/stargz/layer.digest"
	externalLevel = 9
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	Manifests     []descriptor `json:"manifests"`
}

type layout string

func (l layout) blob(digest string) string {
	return filepath.Join(string(l), "blobs", "sha256", digest[len("sha256:"):])
}

func (l layout) content(target descriptor) ([]byte, error) {
	return os.ReadFile(l.blob(target.Digest))
}

func (l layout) put(mediaType string, content []byte) descriptor {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	must(os.WriteFile(l.blob(digest), content, 0o644))
	return descriptor{MediaType: mediaType, Digest: digest, Size: int64(len(content))}
}

func (l layout) putJSON(mediaType string, document any) descriptor {
	return l.put(mediaType, check(json.Marshal(document)))
}

func (l layout) index() (parsed index) {
	must(json.Unmarshal(check(os.ReadFile(filepath.Join(string(l), "index.json"))), &parsed))
	return parsed
}

func (l layout) tag(target descriptor, tag string) {
	changed := l.index()
	target.Annotations = map[string]string{refName: tag}
	changed.Manifests = append(changed.Manifests, target)
	must(os.WriteFile(filepath.Join(string(l), "index.json"), check(json.Marshal(changed)), 0o644))
}

func (l layout) image(tag string) (parsed manifest) {
	for _, entry := range l.index().Manifests {
		if entry.Annotations[refName] == tag {
			must(json.Unmarshal(check(os.ReadFile(l.blob(entry.Digest))), &parsed))
			return parsed
		}
	}
	panic("no image is called " + tag)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func check[T any](value T, err error) T {
	must(err)
	return value
}

// The layer's tar.
func unpack(stored []byte) []byte {
	if bytes.HasPrefix(stored, []byte{0x1f, 0x8b}) {
		return check(io.ReadAll(check(gzip.NewReader(bytes.NewReader(stored)))))
	}
	return stored
}

// A layer in another format. What the manifest and the configuration must say comes with it.
type written struct {
	blob        []byte
	mediaType   string
	annotations map[string]string
	diffID      string
	toc         []byte // external only
}

func build(tar []byte, compression estargz.Compression) written {
	blob := check(estargz.Build(io.NewSectionReader(bytes.NewReader(tar), 0, int64(len(tar))),
		estargz.WithChunkSize(chunkBytes), estargz.WithCompression(compression)))
	content := check(io.ReadAll(blob))
	must(blob.Close())
	return written{
		blob:        content,
		annotations: map[string]string{estargz.TOCJSONDigestAnnotation: blob.TOCDigest().String()},
		diffID:      blob.DiffID().String(),
	}
}

type zstdCompression struct {
	*zstdchunked.Compressor
	*zstdchunked.Decompressor
}

func convert(tar []byte, format string) (layer written) {
	switch format {
	case "stargz-zstd":
		metadata := map[string]string{}
		layer = build(tar, zstdCompression{
			&zstdchunked.Compressor{CompressionLevel: zstd.SpeedDefault, Metadata: metadata},
			&zstdchunked.Decompressor{},
		})
		layer.mediaType = zstdLayer
		for key, value := range metadata {
			layer.annotations[key] = value
		}
	case "stargz-external":
		compression := externaltoc.NewGzipCompressionWithLevel(nil, externalLevel).(*externaltoc.GzipCompression)
		layer = build(tar, compression)
		layer.mediaType = gzipLayer
		var toc bytes.Buffer
		check(compression.WriteTOCTo(&toc))
		layer.toc = toc.Bytes()
	case "containers-zstd":
		layer.annotations = map[string]string{}
		layer.mediaType = zstdLayer
		var blob bytes.Buffer
		writer := check(compressor.ZstdCompressor(&blob, layer.annotations, nil))
		check(writer.Write(tar))
		must(writer.Close())
		layer.blob = blob.Bytes()
		layer.diffID = fmt.Sprintf("sha256:%x", sha256.Sum256(tar))
	default:
		must(fmt.Errorf("unknown format %q", format))
	}
	return layer
}

func main() {
	if len(os.Args) > 4 && os.Args[1] == "read" {
		read(layout(os.Args[2]), os.Args[3], os.Args[4], strings.Join(os.Args[5:], ""))
		return
	}
	if len(os.Args) != 5 {
		must(fmt.Errorf("usage: peers LAYOUT TAG FORMAT NEWTAG"))
	}
	images, tag, format, newTag := layout(os.Args[1]), os.Args[2], os.Args[3], os.Args[4]
	image := images.image(tag)
	tocs := manifest{SchemaVersion: 2, MediaType: manifestType}
	var diffIDs []string
	for i, from := range image.Layers {
		layer := convert(unpack(check(os.ReadFile(images.blob(from.Digest)))), format)
		image.Layers[i] = images.put(layer.mediaType, layer.blob)
		image.Layers[i].Annotations = layer.annotations
		diffIDs = append(diffIDs, layer.diffID)
		if layer.toc != nil {
			toc := images.put(gzipLayer, layer.toc)
			toc.Annotations = map[string]string{tocLayer: image.Layers[i].Digest}
			tocs.Layers = append(tocs.Layers, toc)
		}
	}
	var config map[string]any
	must(json.Unmarshal(check(os.ReadFile(images.blob(image.Config.Digest))), &config))
	config["rootfs"] = map[string]any{"type": "layers", "diff_ids": diffIDs}
	image.SchemaVersion, image.MediaType = 2, manifestType
	image.Config = images.putJSON(configType, config)
	images.tag(images.putJSON(manifestType, image), newTag)
	if len(tocs.Layers) > 0 {
		tocs.Config = images.putJSON(configType, map[string]any{})
		images.tag(images.putJSON(manifestType, tocs), newTag+"-esgztoc")
	}
}
