#pragma once

#include <vector>

#include "estargz/layer_tree.h"

namespace starling::layer {

/// Guesses which files of a layer its programs will not read, by name alone: for each inode true
/// when all of its names are such. A wrong guess costs a reader no more than one that was not
/// guessed at all: the file is only no longer fetched beside others.
///
/// Unlikely are
/// - what is below a directory `test` or `tests`, or below `doc`, `info`, `locale`, `man` and their
///   like in a directory `share`;
/// - what compilers and editors read: headers, static libraries, stubs, source maps;
/// - Python source X.py beside __pycache__/X.TAG.pyc, which the interpreter reads instead, and
///   X.TAG.opt-N.pyc beside X.TAG.pyc. Source: Python, PEP 3147 and PEP 488.
std::vector<bool> FindUnlikelyFiles(const estargz::LayerTree& tree);

}  // namespace starling::layer
