package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/containers/storage"
	"github.com/containers/storage/pkg/archive"
	"github.com/containers/storage/pkg/chunked"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// What the daemon of each project keeps of an image, written by the project's own code from the lazy
// format alone.
func read(images layout, tag, reader, directory string) {
	image := images.image(tag)
	var config struct {
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	must(json.Unmarshal(check(images.content(image.Config)), &config))
	switch reader {
	case "stargz":
		for i, layer := range image.Layers {
			readStargz(check(images.content(layer)), layer, config.Rootfs.DiffIDs[i])
		}
	case "containers":
		readContainers(images, image, config.Rootfs.DiffIDs, directory)
	default:
		must(fmt.Errorf("unknown reader %q", reader))
	}
}

// Opens the layer by its footer, verifies its TOC and reads each file of the tar through the TOC.
func readStargz(blob []byte, layer descriptor, diffID string) {
	content := check(io.ReadAll(check(zstd.NewReader(bytes.NewReader(blob)))))
	expect("diffID", fmt.Sprintf("sha256:%x", sha256.Sum256(content)), diffID)
	opened := check(estargz.Open(io.NewSectionReader(bytes.NewReader(blob), 0, int64(len(blob))),
		estargz.WithDecompressors(&zstdchunked.Decompressor{})))
	verifier := check(opened.VerifyTOC(digest.Digest(layer.Annotations[estargz.TOCJSONDigestAnnotation])))
	files := 0
	for entries := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := entries.Next()
		if err == io.EOF {
			break
		}
		must(err)
		name := strings.TrimPrefix(filepath.Clean("/"+header.Name), "/")
		entry, found := opened.Lookup(name)
		if !found {
			must(fmt.Errorf("%q is not in the TOC", header.Name))
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		want := check(io.ReadAll(entries))
		file := check(opened.OpenFile(name))
		got := make([]byte, file.Size())
		if _, err := file.ReadAt(got, 0); err != nil && err != io.EOF {
			must(fmt.Errorf("%q: %w", name, err))
		}
		if !bytes.Equal(got, want) {
			must(fmt.Errorf("%q has other content", name))
		}
		for offset := int64(0); offset < entry.Size; {
			chunk, found := opened.ChunkEntryForOffset(name, offset)
			if !found {
				must(fmt.Errorf("%q has no chunk at %d", name, offset))
			}
			sum := check(verifier.Verifier(chunk))
			check(sum.Write(want[offset : offset+chunk.ChunkSize]))
			if !sum.Verified() {
				must(fmt.Errorf("%q: the chunk at %d has another digest", name, offset))
			}
			offset += chunk.ChunkSize
		}
		files++
	}
	fmt.Println(files, "files of", layer.Digest)
}

// The parts of a blob, as a registry gives them.
type parts struct{ io.ReaderAt }

func (p parts) GetBlobAt(wanted []chunked.ImageSourceChunk) (chan io.ReadCloser, chan error, error) {
	streams, failures := make(chan io.ReadCloser), make(chan error)
	go func() {
		// The reader takes a closed channel of errors for the end, whatever the other one still holds.
		for _, part := range wanted {
			streams <- io.NopCloser(io.NewSectionReader(p, int64(part.Offset), int64(part.Length)))
		}
		close(streams)
		close(failures)
	}()
	return streams, failures, nil
}

// Pulls the layers partially into a store below directory. Prints where the image is mounted.
func readContainers(images layout, image manifest, diffIDs []string, directory string) {
	store := check(storage.GetStore(storage.StoreOptions{
		RunRoot:         filepath.Join(directory, "run"),
		GraphRoot:       filepath.Join(directory, "graph"),
		GraphDriverName: "overlay",
		PullOptions:     map[string]string{"enable_partial_images": "true"},
	}))
	parent := ""
	for i, layer := range image.Layers {
		blob := check(images.content(layer))
		differ, err := chunked.NewDiffer(context.Background(), store, digest.Digest(layer.Digest),
			layer.Size, layer.Annotations, parts{bytes.NewReader(blob)})
		var fallback chunked.ErrFallbackToOrdinaryLayerDownload
		id := fmt.Sprintf("layer%d", i)
		if errors.As(err, &fallback) {
			fmt.Printf("layer %d in full: %v\n", i, err)
			added, _, err := store.PutLayer(id, parent, nil, "", false, nil, bytes.NewReader(blob))
			must(err)
			parent = added.ID
			continue
		}
		must(err)
		output := check(store.PrepareStagedLayer(nil, differ))
		expect("digest that the differ computed", output.UncompressedDigest.String(), diffIDs[i])
		added := check(store.ApplyStagedLayer(storage.ApplyStagedLayerOptions{
			ID:           id,
			ParentLayer:  parent,
			LayerOptions: &storage.LayerOptions{},
			DiffOutput:   output,
		}))
		must(differ.Close())
		uncompressed := archive.Uncompressed
		diff := check(store.Diff(parent, added.ID, &storage.DiffOptions{Compression: &uncompressed}))
		sum := sha256.New()
		check(io.Copy(sum, diff))
		must(diff.Close())
		expect("tar put together again", fmt.Sprintf("sha256:%x", sum.Sum(nil)), diffIDs[i])
		fmt.Printf("layer %d partially\n", i)
		parent = added.ID
	}
	fmt.Println("mounted", check(store.Mount(parent, "")))
}

func expect(what, got, want string) {
	if got != want {
		must(fmt.Errorf("%s: %s instead of %s", what, got, want))
	}
}
