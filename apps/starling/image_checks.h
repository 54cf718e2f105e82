/// What an image must be so that others' commands can be run in it.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>

#include "base/status.h"
#include "dockerfile/build/base_images.h"
#include "dockerfile/build/builder.h"
#include "dockerfile/entrypoint/judge.h"
#include "dockerfile/plan/plan.h"
#include "dockerfile/python/programs.h"
#include "dockerfile/recipe/recipe.h"

namespace starling::cli {

/// Whether the image of a `from` step runs where it is to run: kFailedPrecondition where not. A
/// whole Dockerfile may say otherwise, as elsewhere.
Status CheckBasePlatform(const dockerfile::recipe::Recipe& recipe,
                         const dockerfile::plan::Plan& plan, const oci::Platform& target);

/// The image, or Scratch, whose layers lie below those of `node`.
dockerfile::plan::NodeId BottomOf(const dockerfile::plan::Graph& graph,
                                  dockerfile::plan::NodeId node);

/// Lets something see the files of a node, which is executed for it.
using ShowNode =
    std::function<Status(dockerfile::plan::NodeId node,
                         const std::function<Status(const std::filesystem::path& root)>& look)>;

/// Whether the base has the programs that steps call. Each image is looked at once; what was seen
/// is kept below `state_directory`. kFailedPrecondition names the step.
Status CheckBasePrograms(const dockerfile::recipe::Recipe& recipe,
                         const dockerfile::plan::Plan& plan, dockerfile::build::BaseImages& images,
                         const std::filesystem::path& state_directory, const ShowNode& show);

/// Whether the image executes the command behind its entrypoint, as far as its files tell. What was
/// seen is kept below `state_directory`.
StatusOr<dockerfile::entrypoint::Judgement> JudgeEntrypoint(
    dockerfile::build::Builder& builder, const dockerfile::build::Tree& tree,
    const dockerfile::plan::ImageDraft& image, const std::filesystem::path& state_directory);
/// "/usr/bin/x does not execute the command behind it: line 3: .."
std::string TextOf(const dockerfile::entrypoint::Judgement& judgement);

/// Runs the image's entrypoint with a command behind it. kFailedPrecondition where the command was
/// not executed. Blocks, for kVerifyTimeout at most.
Status VerifyEntrypoint(dockerfile::build::Builder& builder, const dockerfile::build::Tree& tree,
                        const dockerfile::plan::ImageDraft& image, const std::stop_token& stop);

}  // namespace starling::cli
