// mkfs.erofs writes a layer's tar, from standard input, as an EROFS image with the library go-erofs. It takes the
// arguments with which containerd's EROFS differ calls the program of that name from erofs-utils, whose version in
// Debian 12 cannot read a tar:
//
//	mkfs.erofs --tar=f --aufs [OPTION...] IMAGE
package main

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/erofs/go-erofs"
)

const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	characterType  = 0o020000
	blockType      = 0o060000
	fifoType       = 0o010000
)

func main() {
	log.SetFlags(0)
	arguments := os.Args[1:]
	if len(arguments) == 0 || arguments[0] == "--help" {
		fmt.Println("usage: mkfs.erofs --tar=f --aufs [OPTION...] IMAGE < TAR")
		return
	}
	for _, wanted := range []string{"--tar=f", "--aufs"} {
		if !contains(arguments, wanted) {
			log.Fatalf("mkfs.erofs: only with %s", wanted)
		}
	}
	if err := convert(os.Stdin, arguments[len(arguments)-1]); err != nil {
		log.Fatalf("mkfs.erofs: %v", err)
	}
}

func contains(words []string, wanted string) bool {
	for _, word := range words {
		if word == wanted {
			return true
		}
	}
	return false
}

func convert(input io.Reader, image string) error {
	output, err := os.Create(image)
	if err != nil {
		return err
	}
	defer output.Close()
	writer := erofs.Create(output, erofs.WithTempDir(filepath.Dir(image)))
	reader := tar.NewReader(bufio.NewReaderSize(input, 1<<20))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := add(writer, header, reader); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
	return writer.Close()
}

// add puts one entry of the tar into the image; whiteouts in the form that overlayfs knows.
func add(writer *erofs.Writer, header *tar.Header, data io.Reader) error {
	name := path.Clean("/" + header.Name)
	base := path.Base(name)
	if base == opaqueName {
		return writer.Setxattr(path.Dir(name), "trusted.overlay.opaque", "y")
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return writer.Mknod(path.Join(path.Dir(name), strings.TrimPrefix(base, whiteoutPrefix)), characterType, 0)
	}

	device := uint32(header.Devminor&0xff | header.Devmajor<<8 | header.Devminor&^0xff<<12)
	var err error
	switch header.Typeflag {
	case tar.TypeDir:
		// A directory may be there already: the root is, and the parents of what came before.
		if _, missing := writer.Stat(name); missing != nil {
			err = writer.Mkdir(name, header.FileInfo().Mode().Perm())
		}
	case tar.TypeReg:
		err = addFile(writer, name, data)
	case tar.TypeLink:
		// The library has no hard links: a copy.
		var target io.ReadCloser
		if target, err = writer.Open(path.Clean("/" + header.Linkname)); err == nil {
			err = addFile(writer, name, target)
			target.Close()
		}
	case tar.TypeSymlink:
		err = writer.Symlink(header.Linkname, name)
	case tar.TypeChar:
		err = writer.Mknod(name, characterType, device)
	case tar.TypeBlock:
		err = writer.Mknod(name, blockType, device)
	case tar.TypeFifo:
		err = writer.Mknod(name, fifoType, 0)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	if header.Typeflag != tar.TypeSymlink {
		if err := writer.Chmod(name, header.FileInfo().Mode()); err != nil {
			return err
		}
	}
	for key, value := range header.PAXRecords {
		if attribute, found := strings.CutPrefix(key, "SCHILY.xattr."); found {
			if err := writer.Setxattr(name, attribute, value); err != nil {
				return err
			}
		}
	}
	if err := writer.Chown(name, header.Uid, header.Gid); err != nil {
		return err
	}
	return writer.Chtimes(name, header.ModTime, header.ModTime)
}

func addFile(writer *erofs.Writer, name string, data io.Reader) error {
	file, err := writer.Create(name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, data); err != nil {
		return err
	}
	return file.Close()
}
