#include "dockerfile/recipe/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>


#include "dockerfile/plan/history.h"
#include "dockerfile/plan/plan.h"
#include "dockerfile/plan/print.h"
#include "dockerfile/recipe/read.h"
#include "dockerfile/recipe/write.h"
#include "dockerfile/syntax/shell_words.h"
#include "tests/support/read_whole.h"

namespace starling::dockerfile::recipe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

StatusOr<Recipe> WithSteps(const std::string& steps) {
  const std::string text =
      R"({"version": 1, "steps": [{"step": "from", "image": "scratch"}, )" + steps + "]}";
  return ParseRecipe(AsBytes(text));
}

/// What stands behind the first line.
StatusOr<std::string> LinesOf(const std::string& steps) {
  ASSIGN_OR_RETURN(const Recipe recipe, WithSteps(steps));
  ASSIGN_OR_RETURN(const std::string text, RenderDockerfile(recipe));
  return text.substr(std::string_view("FROM scratch\n").size());
}

TEST(RenderDockerfile, WritesTheInstructionsOfEachStep) {
  const struct {
    std::string_view name;
    std::string steps;
    std::string_view want;
  } cases[] = {
      {.name = "run",
       .steps = R"({"step": "run", "commands": ["a && b", " c 'd' "]})",
       .want = "RUN a && b\nRUN c 'd'\n"},
      {.name = "run with secrets",
       .steps = R"({"step": "run", "commands": ["a"],
                   "secrets": [{"id": "x.A", "variable": "A"}, {"id": "b", "variable": "B"}]})",
       .want = "RUN --mount=type=secret,id=x.A,env=A,required=true "
               "--mount=type=secret,id=b,env=B,required=true a\n"},
      {.name = "run of several lines",
       .steps = R"({"step": "run", "commands": ["a\nEOF\nb"]})",
       .want = "RUN <<'EOF1'\na\nEOF\nb\nEOF1\n"},
      {.name = "run that would be JSON",
       .steps = R"({"step": "run", "commands": ["[\"a\"]"]})",
       .want = "RUN <<'EOF'\n[\"a\"]\nEOF\n"},
      {.name = "run that would be a flag",
       .steps = R"({"step": "run", "commands": ["--network=none a"]})",
       .want = "RUN <<'EOF'\n--network=none a\nEOF\n"},
      {.name = "run that would go on",
       .steps = R"({"step": "run", "commands": ["a \\"]})",
       .want = "RUN <<'EOF'\na \\\nEOF\n"},
      {.name = "run with its own heredoc",
       .steps = R"({"step": "run", "commands": ["cat <<X >/a\nb\nX"]})",
       .want = "RUN <<'EOF'\ncat <<X >/a\nb\nX\nEOF\n"},
      {.name = "copy",
       .steps = R"({"step": "copy", "source": {"context": "local-1", "path": "./src/"},
                   "destination": "/app/"})",
       .want = "COPY --from=local-1 src /app/\n"},
      {.name = "copy of odd names",
       .steps = R"({"step": "copy", "source": {"context": "c", "path": "a [1]$x"},
                   "destination": "/b c", "ignore": ["**/*.pyc", "!a b"]})",
       .want = "COPY --from=c --exclude=**/*.pyc --exclude=!a\\ b "
               "[\"'a \\\\[1]$x'\",\"'/b c'\"]\n"},
      {.name = "env",
       .steps = R"({"step": "env", "variables": {"A": "1", "B": "$x \"y\" it's \\"}})",
       .want = "ENV A=1\nENV B='$x \"y\" it'\"'\"'s \\'\n"},
      {.name = "label",
       .steps = R"({"step": "label", "labels": {"a.b/c": "d e"}})",
       .want = "LABEL a.b/c='d e'\n"},
      {.name = "simple ones",
       .steps = R"({"step": "workdir", "path": "/a b/$c"}, {"step": "user", "user": "u:1"},
                   {"step": "expose", "ports": ["80", "81/udp"]})",
       .want = "WORKDIR '/a b/$c'\nUSER u:1\nEXPOSE 80 81/udp\n"},
      {.name = "commands",
       .steps = R"({"step": "entrypoint", "command": ["a", "\"q\"\n", "é"]},
                   {"step": "cmd", "command": []}, {"step": "shell", "command": ["/bin/bash", "-c"]})",
       .want = "ENTRYPOINT [\"a\",\"\\\"q\\\"\\n\",\"é\"]\nCMD []\nSHELL [\"/bin/bash\",\"-c\"]\n"},
      {.name = "apt keeps the order",
       .steps = R"({"step": "apt", "packages": ["zlib1g-dev", "git=1:2.*"]})",
       .want = "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked apt-get update && "
               "apt-get install -y zlib1g-dev 'git=1:2.*'\n"},
      {.name = "pip sorts",
       .steps = R"({"step": "pip", "packages": ["torch<2", "huggingface"],
                   "requirements": [{"context": "c", "path": "x/r.txt"}],
                   "find_links": "https://f", "index_url": "https://i",
                   "extra_index_url": "https://e", "pre": true,
                   "extra_options": ["--no-deps", "--global-option=a b"]})",
       .want = "COPY --from=c x/r.txt /.r.txt\n"
               "RUN --mount=type=cache,target=/root/.cache/pip python -m pip install huggingface "
               "'torch<2' -r /.r.txt --find-links https://f --index-url https://i "
               "--extra-index-url https://e --pre --no-deps '--global-option=a b'\n"},
      {.name = "uv",
       .steps = R"({"step": "uv_pip", "packages": ["polars", "datasette"], "pre": true,
                   "requirements": [{"context": "c", "path": "r.txt"}], "uv_version": "0.8.0"})",
       .want = "COPY --link --from=uv-0.8.0 /uv /.uv/uv\n"
               "COPY --from=c r.txt /.uv/0/r.txt\n"
               "RUN --mount=type=cache,target=/root/.cache/uv /.uv/uv pip install --python "
               "$(command -v python) --compile-bytecode --link-mode=copy --prerelease=allow -r "
               "/.uv/0/r.txt datasette polars\n"},
      {.name = "uv sync",
       .steps = R"({"step": "uv_sync", "project": {"context": "c", "path": "pyproject.toml"},
                   "lock": {"context": "c", "path": "uv.lock"}, "groups": ["dev"],
                   "extras": ["gpu"], "frozen": true, "extra_options": ["--no-dev"]})",
       .want = "COPY --link --from=uv-0.13.9 /uv /.uv/uv\n"
               "COPY --from=c pyproject.toml /.uv/pyproject.toml\n"
               "COPY --from=c uv.lock /.uv/uv.lock\n"
               "RUN --mount=type=cache,target=/root/.cache/uv /.uv/uv sync --project=/.uv "
               "--no-install-workspace --compile-bytecode --link-mode=copy --group=dev "
               "--extra=gpu --frozen --no-dev\n"
               "ENV PATH=/.uv/.venv/bin:$PATH\n"},
      {.name = "poetry",
       .steps = R"({"step": "poetry", "project": {"context": "c", "path": "pyproject.toml"},
                   "lock": {"context": "c", "path": "poetry.lock"}, "with": ["dev"],
                   "without": ["docs"], "only": ["main"], "poetry_version": "~=1.7",
                   "old_installer": true})",
       .want = "RUN --mount=type=cache,target=/root/.cache/pip python -m pip install "
               "'poetry~=1.7'\n"
               "RUN poetry config experimental.new-installer false\n"
               "COPY --from=c poetry.lock /tmp/poetry/poetry.lock\n"
               "COPY --from=c pyproject.toml /tmp/poetry/pyproject.toml\n"
               "RUN --mount=type=cache,target=/root/.cache/pypoetry cd /tmp/poetry && poetry "
               "config virtualenvs.create false && poetry install --no-root --with dev --without "
               "docs --only main --compile\n"},
      {.name = "poetry of a version",
       .steps = R"({"step": "poetry", "project": {"context": "c", "path": "p/pyproject.toml"},
                   "poetry_version": "1.8.3"})",
       .want = "RUN --mount=type=cache,target=/root/.cache/pip python -m pip install "
               "poetry==1.8.3\n"
               "COPY --from=c p/pyproject.toml /tmp/poetry/pyproject.toml\n"
               "RUN --mount=type=cache,target=/root/.cache/pypoetry cd /tmp/poetry && poetry "
               "config virtualenvs.create false && poetry install --no-root --compile\n"},
      {.name = "micromamba",
       .steps = R"({"step": "micromamba", "packages": ["b", "a>=1"], "channels": ["conda-forge"],
                   "spec_file": {"context": "c", "path": "env.yml"}})",
       .want = "COPY --from=c env.yml /env.yml\n"
               "RUN micromamba install b 'a>=1' -f /env.yml -n base -c conda-forge --yes\n"},
      {.name = "micromamba of a version",
       .steps = R"({"step": "micromamba", "packages": ["a"], "channels": ["http://c/x"],
                   "micromamba_version": "2.8.1-0", "secrets": [{"id": "i", "variable": "V"}]},
                   {"step": "micromamba", "spec_file": {"context": "c", "path": "d/env.yml"},
                   "micromamba_version": "latest"})",
       .want = "COPY --link --from=micromamba-2.8.1-0 /micromamba /.micromamba/micromamba\n"
               "ENV MAMBA_ROOT_PREFIX=/opt/conda PATH=/opt/conda/bin:$PATH\n"
               "RUN --mount=type=cache,target=/root/.cache/conda "
               "--mount=type=secret,id=i,env=V,required=true CONDA_PKGS_DIRS=/root/.cache/conda "
               "/.micromamba/micromamba install a --always-copy -n base -c http://c/x --yes\n"
               "COPY --link --from=micromamba-latest /micromamba /.micromamba/micromamba\n"
               "COPY --from=c d/env.yml /env.yml\n"
               "RUN --mount=type=cache,target=/root/.cache/conda "
               "CONDA_PKGS_DIRS=/root/.cache/conda /.micromamba/micromamba install --always-copy "
               "-f /env.yml -n base --yes\n"},
      {.name = "add_python",
       .steps = R"({"step": "add_python", "version": "3.11"})",
       .want = "COPY --link --from=python-3.11 /python/. /usr/local\n"
               "ENV TERMINFO_DIRS=/etc/terminfo:/lib/terminfo:/usr/share/terminfo:"
               "/usr/lib/terminfo:/usr/local/share/terminfo\n"},
      {.name = "add_python, free-threaded",
       .steps = R"({"step": "add_python", "version": "3.14t"})",
       .want = "COPY --link --from=python-3.14t /python/. /usr/local\n"
               "ENV TERMINFO_DIRS=/etc/terminfo:/lib/terminfo:/usr/share/terminfo:"
               "/usr/lib/terminfo:/usr/local/share/terminfo\n"},
      {.name = "python_function",
       .steps = R"({"step": "python_function", "script": "print('$HOME')\n"})",
       .want = "RUN <<'EOF'\n#!/usr/bin/env python\nprint('$HOME')\nEOF\n"},
      {.name = "lines",
       .steps = R"({"step": "dockerfile_lines",
                   "lines": ["RUN a \\\n  b", "COPY <<X /f", "y", "X", "COPY c /d"]})",
       .want = "RUN a \\\n  b\nCOPY <<X /f\ny\nX\nCOPY c /d\n"},
      {.name = "lines of a context",
       .steps = R"({"step": "dockerfile_lines", "context": "local-1",
                   "lines": ["copy a /b", "COPY --chown=1 c /d", "COPY --from=x e /f",
                             "COPY <<X /g", "h", "X", "ADD https://example.com/i /j"]})",
       .want = "copy --from=local-1 a /b\nCOPY --from=local-1 --chown=1 c /d\n"
               "COPY --from=x e /f\nCOPY <<X /g\nh\nX\nADD https://example.com/i /j\n"},
      {.name = "lines with secrets",
       .steps = R"({"step": "dockerfile_lines", "secrets": [{"id": "x.A", "variable": "A"}],
                   "lines": ["run a", "RUN --network=none b \\\n c", "RUN <<X", "d", "X",
                             "RUN [\"e\"]", "COPY f /"]})",
       .want = "run --mount=type=secret,id=x.A,env=A,required=true a\n"
               "RUN --mount=type=secret,id=x.A,env=A,required=true --network=none b \\\n c\n"
               "RUN --mount=type=secret,id=x.A,env=A,required=true <<X\nd\nX\n"
               "RUN --mount=type=secret,id=x.A,env=A,required=true [\"e\"]\nCOPY f /\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto lines = LinesOf(c.steps);
    ASSERT_TRUE(lines.ok()) << lines.status();
    EXPECT_EQ(*lines, c.want);
  }
}

/// The lines behind the first one, with `options`.
StatusOr<std::string> LinesWith(const std::string& steps, const RenderOptions& options,
                                int builder_version = kNewestBuilderVersion) {
  ASSIGN_OR_RETURN(Recipe recipe, WithSteps(steps));
  recipe.builder_version = builder_version;
  ASSIGN_OR_RETURN(const RenderedRecipe rendered, RenderRecipe(recipe, options));
  return rendered.text.substr(std::string_view("FROM scratch\n").size());
}

const std::string kApt = R"({"step": "apt", "packages": ["git"]})";
const std::string kPip =
    R"({"step": "pip", "packages": ["b", "a[x]<2"], "requirements": [{"context": "c", "path": "r.txt"}],
        "index_url": "https://i", "extra_options": ["--upgrade"]})";
const std::string kUv =
    R"({"step": "uv_pip", "packages": ["b"], "requirements": [{"context": "c", "path": "r.txt"}],
        "index_url": "https://i", "extra_options": ["--no-deps", "--reinstall"]})";
const std::string kPoetry =
    R"({"step": "poetry", "project": {"context": "c", "path": "pyproject.toml"},
        "lock": {"context": "c", "path": "poetry.lock"}, "poetry_version": "1.8.3"})";

TEST(RenderRecipe, InstallsWhatALockHas) {
  const struct {
    std::string_view name;
    std::string steps;
    std::string_view want;
  } cases[] = {
      {.name = "apt",
       .steps = kApt,
       .want = "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked "
               "--mount=type=bind,from=l,source=/0,target=/.starling-lock apt-get update && "
               "apt-get install -y --no-install-recommends $(cat /.starling-lock) && rm -rf "
               "/var/lib/apt/lists/* /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log "
               "/var/cache/ldconfig/aux-cache\n"},
      {.name = "pip",
       .steps = kPip,
       .want = "COPY --from=c r.txt /.r.txt\n"
               "RUN --mount=type=cache,target=/root/.cache/pip "
               "--mount=type=bind,from=l,source=/0,target=/.starling-lock python -m pip install "
               "--no-deps --require-hashes -r /.starling-lock --index-url https://i --upgrade\n"},
      {.name = "uv",
       .steps = kUv,
       .want = "COPY --link --from=uv-0.13.9 /uv /.uv/uv\nCOPY --from=c r.txt /.uv/0/r.txt\n"
               "RUN --mount=type=cache,target=/root/.cache/uv "
               "--mount=type=bind,from=l,source=/0,target=/.starling-lock /.uv/uv pip install "
               "--python $(command -v python) --compile-bytecode --link-mode=copy "
               "--require-hashes --index-url https://i --no-deps --reinstall -r "
               "/.starling-lock\n"},
      {.name = "numbers of installs",
       .steps = kApt + "," + kApt,
       .want = "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked "
               "--mount=type=bind,from=l,source=/0,target=/.starling-lock apt-get update && "
               "apt-get install -y --no-install-recommends $(cat /.starling-lock) && rm -rf "
               "/var/lib/apt/lists/* /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log "
               "/var/cache/ldconfig/aux-cache\n"
               "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked "
               "--mount=type=bind,from=l,source=/1,target=/.starling-lock apt-get update && "
               "apt-get install -y --no-install-recommends $(cat /.starling-lock) && rm -rf "
               "/var/lib/apt/lists/* /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log "
               "/var/cache/ldconfig/aux-cache\n"},
      {.name = "poetry itself, whose project has a lock of its own",
       .steps = kPoetry,
       .want = "RUN --mount=type=cache,target=/root/.cache/pip "
               "--mount=type=bind,from=l,source=/0,target=/.starling-lock python -m pip install "
               "--no-deps --require-hashes -r /.starling-lock\n"
               "COPY --from=c poetry.lock /tmp/poetry/poetry.lock\n"
               "COPY --from=c pyproject.toml /tmp/poetry/pyproject.toml\n"
               "RUN --mount=type=cache,target=/root/.cache/pypoetry cd /tmp/poetry && poetry "
               "config virtualenvs.create false && poetry install --no-root --compile\n"},
      {.name = "nothing to install",
       .steps = R"({"step": "user", "user": "u"})",
       .want = "USER u\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto lines = LinesWith(c.steps, {.lock_context = "l"});
    ASSERT_TRUE(lines.ok()) << lines.status();
    EXPECT_EQ(*lines, c.want);
    EXPECT_EQ(*LinesWith(c.steps, {.lock_context = "l"}, 1), *LinesWith(c.steps, {}, 1))
        << "a lock means nothing to the first version";
  }
}

TEST(RenderRecipe, AsksWhatWouldBeInstalled) {
  const struct {
    std::string_view name;
    std::string steps;
    size_t resolve;
    std::string_view want;
  } cases[] = {
      {.name = "apt",
       .steps = kApt + R"(, {"step": "user", "user": "u"}, )" + kPip + "," + kApt,
       .resolve = 0,
       .want = "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked "
               "--mount=type=bind,from=l,source=/0,target=/.starling-lock apt-get update && "
               "apt-get install -y --simulate git >/.starling-resolved\n"},
      {.name = "pip, of which poetry's installation is one",
       .steps = kPoetry,
       .resolve = 0,
       .want = "RUN --mount=type=cache,target=/root/.cache/pip "
               "--mount=type=bind,from=l,source=/0,target=/.starling-lock python -m pip install "
               "--dry-run --report /.starling-resolved poetry==1.8.3\n"},
      {.name = "pip behind another install",
       .steps = kPoetry + "," + kPip,
       .resolve = 1,
       .want = "--mount=type=bind,from=l,source=/1,target=/.starling-lock python -m pip install "
               "--dry-run --report /.starling-resolved 'a[x]<2' b -r /.r.txt --index-url https://i "
               "--upgrade\n"},
      {.name = "uv",
       .steps = kUv,
       .resolve = 0,
       .want = "/.uv/uv pip install --python $(command -v python) --dry-run --refresh --index-url "
               "https://i "
               "--no-deps --reinstall -r /.uv/0/r.txt b 2>/.starling-plan || { cat "
               "/.starling-plan >&2; exit 1; }; { cat /.starling-lock; sed -n '/ (from /!s/^ + "
               "//p' /.starling-plan; } | /.uv/uv pip compile - --python $(command -v python) "
               "--no-deps --generate-hashes --no-header --no-annotate --index-url https://i -o "
               "/.starling-resolved\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto lines = LinesWith(c.steps, {.lock_context = "l", .resolve = c.resolve});
    ASSERT_TRUE(lines.ok()) << lines.status();
    EXPECT_TRUE(lines->ends_with(c.want)) << *lines;
  }
}

TEST(RenderRecipe, NamesInstallsByWhatTheyAreAskedFor) {
  const auto recipe = WithSteps(kApt + "," + kPip + "," + kUv + "," + kPoetry);
  std::vector<std::string> names;
  const auto rendered = RenderRecipe(*recipe, {.source_date_epoch = 1});
  ASSERT_TRUE(rendered.ok()) << rendered.status();
  for (const Install& install : rendered->installs) {
    names.push_back(
        fmt::format("{}: {}, {} files", install.step, install.name, install.requirements.size()));
  }
  EXPECT_THAT(
      names,
      ElementsAre("1: apt-get install -y git, 0 files",
                  "2: python -m pip install 'a[x]<2' b -r /.r.txt --index-url https://i --upgrade, "
                  "1 files",
                  "3: uv pip install --index-url https://i --no-deps --reinstall -r /.uv/0/r.txt "
                  "b, 1 files",
                  "4: python -m pip install poetry==1.8.3, 0 files"));
}

TEST(RenderRecipe, RefusesToLockWhatHasNoDigests) {
  const struct {
    std::string_view name;
    std::string step;
    std::string_view want;
  } cases[] = {
      {"micromamba", R"({"step": "micromamba", "packages": ["a"]})",
       "/steps/1: what micromamba installs is locked by conda-lock's own NAME-lock.yml alone"},
      {"micromamba with packages beside its lock",
       R"({"step": "micromamba", "packages": ["a"],
           "spec_file": {"context": "c", "path": "conda-lock.yml"}})",
       "/steps/1: what micromamba installs is locked by conda-lock's own NAME-lock.yml alone"},
      {"micromamba by a file that is no lock",
       R"({"step": "micromamba", "spec_file": {"context": "c", "path": "lock.yml"}})",
       "/steps/1: what micromamba installs is locked by conda-lock's own NAME-lock.yml alone"},
      {"uv without its lock",
       R"({"step": "uv_sync", "project": {"context": "c", "path": "pyproject.toml"}})",
       "/steps/1: what uv_sync installs is locked by its own uv.lock alone"},
      {"uv that may change its lock",
       R"({"step": "uv_sync", "project": {"context": "c", "path": "pyproject.toml"},
           "lock": {"context": "c", "path": "uv.lock"}})",
       "/steps/1: what uv_sync installs is locked by its own uv.lock alone"},
      {"poetry without its lock",
       R"({"step": "poetry", "project": {"context": "c", "path": "pyproject.toml"}})",
       "/steps/1: what poetry installs is locked by its own poetry.lock alone"},
  };
  for (const auto& c : cases) {
    const auto lines = LinesWith(c.step, {.lock_context = "l"});
    EXPECT_EQ(lines.status().code(), StatusCode::kFailedPrecondition) << c.name;
    EXPECT_THAT(std::string(MessageOf(lines.status())), HasSubstr(std::string(c.want))) << c.name;
    EXPECT_TRUE(LinesWith(c.step, {}).ok()) << c.name;
  }
}

TEST(RenderRecipe, TakesWhatHasALockOfItsOwn) {
  for (const std::string path : {"conda-lock.yml", "x/app-lock.yaml"}) {
    const auto lines = LinesWith(R"({"step": "micromamba", "micromamba_version": "2.8.1-0",
                      "spec_file": {"context": "c", "path": ")" +
                                     path + "\"}}",
                                 {.lock_context = "l"});
    ASSERT_TRUE(lines.ok()) << path << lines.status();
    EXPECT_THAT(*lines, HasSubstr("micromamba install --always-copy -f /")) << path;
  }
}

TEST(RenderRecipe, GivesTheTimeToWhatCompiles) {
  const struct {
    std::string_view name;
    std::string step;
    std::string_view want;
  } cases[] = {
      {"apt", kApt, "apt-get update && SOURCE_DATE_EPOCH=7 apt-get install -y git\n"},
      {"pip", R"({"step": "pip", "packages": ["a"]})",
       " SOURCE_DATE_EPOCH=7 python -m pip install a\n"},
      {"uv", R"({"step": "uv_pip", "packages": ["a"]})",
       " SOURCE_DATE_EPOCH=7 PYC_INVALIDATION_MODE=UNCHECKED_HASH /.uv/uv pip install --python "
       "$(command -v python) --compile-bytecode --link-mode=copy a\n"},
      {"poetry", kPoetry, " SOURCE_DATE_EPOCH=7 poetry install --no-root --compile\n"},
      {"micromamba", R"({"step": "micromamba", "packages": ["a"], "micromamba_version": "2.8.1"})",
       " SOURCE_DATE_EPOCH=7 CONDA_PKGS_DIRS=/root/.cache/conda /.micromamba/micromamba install a "
       "--always-copy -n base --yes\n"},
      {"run", R"({"step": "run", "commands": ["a"]})", "RUN a\n"},
  };
  for (const auto& c : cases) {
    const auto lines = LinesWith(c.step, {.source_date_epoch = 7});
    ASSERT_TRUE(lines.ok()) << c.name << lines.status();
    EXPECT_TRUE(lines->ends_with(c.want)) << c.name << *lines;
    EXPECT_EQ(*LinesWith(c.step, {.source_date_epoch = 7}, 1), *LinesWith(c.step, {}, 1)) << c.name;
  }
}

TEST(RenderRecipe, KeepsLiteralValuesThroughExpansion) {
  const std::vector<std::string> values = {
      "",     " ",         "$HOME ${X:-y}", "it's \"quoted\"", "back\\slash\\",  "a\nb\n",
      "\n'$", "# no\nRUN", "é \t ` ! ~",    "a\r\nb",          "'\"'\"'\n\\\n$", "<<EOF"};
  NamedValues named;
  for (const std::string& value : values) {
    named.emplace_back(fmt::format("V{}", named.size()), value);
  }
  const auto rendered = RenderRecipe({.steps = {From{"scratch", {}}, Env{named}, Label{named}}});
  ASSERT_TRUE(rendered.ok()) << rendered.status();
  const auto& instructions = rendered->dockerfile.stages.front().instructions;
  ASSERT_EQ(instructions.size(), 2 * values.size());
  for (size_t i = 0; i < instructions.size(); ++i) {
    const std::string& value = values[i % values.size()];
    SCOPED_TRACE(value);
    const auto& entries = i < values.size()
                              ? std::get<syntax::Env>(instructions[i].value).entries
                              : std::get<syntax::Label>(instructions[i].value).entries;
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(syntax::Expand(entries[0].value.value, syntax::NoVariables)->text, value);
  }
  EXPECT_EQ(rendered->line_end_at, "/steps/1/variables/V5");
  EXPECT_EQ(RenderDockerfile({.steps = {From{"scratch", {}}, Env{named}}}).status().code(),
            StatusCode::kFailedPrecondition);
}

TEST(RenderRecipe, IsTheDockerfileOfItsText) {
  const auto recipe = WithSteps(
      R"({"step": "apt", "packages": ["git"]}, {"step": "env", "variables": {"A": "b c"}},
         {"step": "run", "commands": ["a\nb"]}, {"step": "cmd", "command": ["x"]})");
  const auto rendered = RenderRecipe(*recipe);
  ASSERT_TRUE(rendered.ok()) << rendered.status();
  const syntax::Dockerfile parsed = syntax::ParseDockerfile(rendered->text);
  const auto& got = rendered->dockerfile.stages.front().instructions;
  const auto& want = parsed.stages.front().instructions;
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].source, want[i].source);
    EXPECT_EQ(got[i].range, want[i].range);
    EXPECT_EQ(got[i].value.index(), want[i].value.index());
  }
}

TEST(RenderRecipe, NamesTheContextsThatItNeeds) {
  const auto recipe = WithSteps(
      R"({"step": "add_python", "version": "3.11"},
         {"step": "copy", "source": {"context": "b", "path": "."}, "destination": "/"},
         {"step": "dockerfile_lines", "context": "a", "lines": ["COPY x /"]},
         {"step": "copy", "source": {"context": "b", "path": "y"}, "destination": "/"})");
  EXPECT_THAT(RenderRecipe(*recipe)->contexts, ElementsAre("a", "b", "python-3.11"));
}

TEST(RenderRecipe, GoesOnAfterADockerfile) {
  WholeDockerfile base;
  base.text = "# syntax=x\nARG V=1\nFROM a:$V AS build\nRUN b\nFROM scratch\nCOPY --from=build b /";
  base.build_arguments = {{"V", "2"}};
  const auto all = RenderRecipe({.steps = {base, User{"u"}}});
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->text, base.text + "\nUSER u\n");
  EXPECT_EQ(all->dockerfile.stages.size(), 2U);
  EXPECT_EQ(all->build_arguments.at("V"), "2");
  EXPECT_THAT(all->contexts, IsEmpty());
  base.target = "Build";
  const auto build = RenderRecipe({.steps = {base, User{"u"}}});
  ASSERT_TRUE(build.ok()) << build.status();
  EXPECT_EQ(build->text, "# syntax=x\nARG V=1\nFROM a:$V AS build\nRUN b\nUSER u\n");
}

TEST(RenderRecipe, NamesTheStepOfTextThatItRefuses) {
  const struct {
    std::string_view name;
    Step step;
    std::string_view want;
  } cases[] = {
      {.name = "unknown", .step = DockerfileLines{{"RUM a"}, {}}, .want = "/steps/1: "},
      {.name = "goes on",
       .step = DockerfileLines{{"RUN a \\"}, {}},
       .want = "/steps/1: the last line goes on"},
      {.name = "FROM", .step = DockerfileLines{{"FROM a"}, {}}, .want = "/steps/1/lines: FROM"},
      {.name = "heredoc", .step = DockerfileLines{{"RUN <<A"}, {}}, .want = "/steps/1: "},
      {.name = "ADD of a context",
       .step = DockerfileLines{{"ADD a /"}, "c"},
       .want = "/steps/1/lines: ADD has no --from, so a cannot come from the context \"c\""},
      {.name = "long value",
       .step = Env{{{"A", std::string(syntax::kMaxLineBytes, 'a')}}},
       .want = "/steps/1: "},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto rendered =
        RenderRecipe({.steps = {From{"scratch", {}}, c.step, User{"u"}, User{"v"}}});
    EXPECT_EQ(rendered.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(MessageOf(rendered.status())), HasSubstr(std::string(c.want)));
  }
  WholeDockerfile base;
  base.text = "# escape=`\nFROM scratch\n";
  EXPECT_TRUE(RenderRecipe({.steps = {base}}).ok());
  EXPECT_THAT(std::string(MessageOf(RenderRecipe({.steps = {base, User{"u"}}}).status())),
              HasSubstr("/steps/0/text: steps cannot go on after an `escape`"));
  base = {.text = "FROM scratch\n", .target = "x", .build_arguments = {}};
  EXPECT_THAT(std::string(MessageOf(RenderRecipe({.steps = {base}}).status())),
              HasSubstr("/steps/0/target: the Dockerfile has no stage \"x\""));
}

/// Any image is there, and all are alike.
class AnyImage : public plan::ImageResolver {
  StatusOr<plan::BaseImage> ResolveImage(const std::string& reference,
                                         const oci::Platform& platform) override {
    return plan::BaseImage{.reference = reference,
                           .platform = platform,
                           .manifest = oci::Digest::Of(AsBytes(reference)),
                           .config = R"({"config": {"Env": ["PATH=/bin"]}})"};
  }
};

/// All parts of all steps that a build does, from which their keys are made, and the image's
/// configuration.
std::string PlanOf(const syntax::Dockerfile& dockerfile, const syntax::BuildSettings& settings) {
  AnyImage images;
  const auto plan = plan::MakePlan(dockerfile, {.build = settings}, images);
  if (!plan.ok()) {
    ADD_FAILURE() << plan.status().message;
    return "";
  }
  return plan::GraphJson(plan->graph, plan->root) + plan::ConfigJson(plan->image, {}, {});
}

TEST(RenderRecipe, ADockerfileAsARecipeIsTheSameBuild) {
  const struct {
    std::string_view name;
    std::string text;
    std::optional<std::string> target;
  } cases[] = {
      {.name = "several stages",
       .text = "# syntax=docker/dockerfile:1\nARG V=1\nFROM a:$V AS build\nARG WHO\n"
               "RUN --mount=type=cache,target=/c <<E\nmake \"$WHO\"\nE\n"
               "FROM scratch\nCOPY --from=build --chmod=u=rwx /out /\nADD x.tar /\n"
               "CMD [\"/a\", \"b\"]"},
      {.name = "a target in the middle",
       .text = "FROM a AS one\nRUN 1\nFROM one AS two\nRUN 2\nFROM two\nRUN 3\n",
       .target = "Two"},
      {.name = "a name twice",
       .text = "FROM a AS x\nRUN 1\nFROM b AS x\nRUN 2\nFROM c\nRUN 3\n",
       .target = "x"},
      {.name = "another escape", .text = "# escape=`\nFROM a\nRUN b `\n  c\nENV P=C:\\x\n"},
      {.name = "line ends of two bytes", .text = "FROM a\r\nRUN b \\\r\n  c\r\n"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    syntax::BuildSettings settings;
    settings.arguments = {{"WHO", "me $x \"q\""}, {"V", "2"}};
    settings.target = c.target.value_or("");
    const std::string wanted = PlanOf(syntax::ParseDockerfile(c.text), settings);
    const Recipe recipe{.steps = {WholeDockerfile{.text = c.text,
                                                  .target = c.target,
                                                  .build_arguments = {settings.arguments.begin(),
                                                                      settings.arguments.end()}}}};
    const auto read = ParseRecipe(AsBytes(WriteRecipe(recipe)));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, recipe);
    const auto rendered = RenderRecipe(*read);
    ASSERT_TRUE(rendered.ok()) << rendered.status();
    EXPECT_EQ(PlanOf(rendered->dockerfile, {.arguments = rendered->build_arguments}), wanted);
    // And what it says as text is the same once more.
    EXPECT_EQ(PlanOf(syntax::ParseDockerfile(*RenderDockerfile(*read)),
                     {.arguments = settings.arguments}),
              wanted);
  }
}

/// The text between the lines `begin` and "```" of docs/recipe.md.
std::string FromDocs(const std::string& begin) {
  const std::string all = testing_support::ReadWhole(STARLING_SOURCE_DIR "/docs/recipe.md");
  const size_t at = all.find(begin + "\n");
  if (at == std::string::npos) {
    return {};
  }
  const size_t content = at + begin.size() + 1;
  return all.substr(content, all.find("```", content) - content);
}

TEST(RenderDockerfile, DoesWhatTheDocumentationShows) {
  const std::string example = FromDocs("```json");
  const auto recipe = ParseRecipe(AsBytes(example));
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_EQ(*RenderDockerfile(*recipe), FromDocs("```dockerfile"));
}

}  // namespace
}  // namespace starling::dockerfile::recipe
