#pragma once

#include <string>

#include "base/clock.h"
#include "http/answer.h"
#include "layer/status.h"

namespace starling::page {

/// The web page of a process: itself at "/", and what it draws, which is what `starling status`,
/// `trace` and their --json tell, at /status.json, /trace.json and /starts.json. It can only be
/// looked at.
///
/// Answers whoever asks for localhost or a loopback address, and nobody else, so that a name that
/// somebody points at this machine shows nothing (DNS rebinding). What browsers are told keeps the
/// page from loading, running or sending anything that is not its own.
///
/// What was told is told again for half a second, whoever asks: that bounds what it costs. Borrows
/// `status` and `clock`. Threads: one at a time.
http::Handler HandlerOf(layer::StatusSource& status, const Clock& clock, std::string version);

}  // namespace starling::page
