/// The checks, by what they look at. Each returns what it finds.
#pragma once

#include "doctor/finding.h"
#include "doctor/host.h"

namespace starling::doctor {

Findings CheckPrivileges(const Host& host);
Findings CheckFuse(const Host& host);
Findings CheckOverlay(const Host& host);
Findings CheckErofs(const Host& host);
Findings CheckKernelVersion(const Host& host);
Findings CheckFuseTimeouts(const Host& host);

Findings CheckSettings(const Host& host);
Findings CheckRoot(const Host& host);
Findings CheckSocketPath(const Host& host);
Findings CheckPermissions(const Host& host);
Findings CheckSecrets(const Host& host);
Findings CheckHostsFiles(const Host& host);
Findings CheckUnit(const Host& host);
Findings CheckStarlingdAnswers(const Host& host);
Findings CheckMountNamespace(const Host& host);

Findings CheckVolume(const Host& host);
Findings CheckSpace(const Host& host);
Findings CheckSharing(const Host& host);

Findings CheckContainerdFile(const Host& host);
Findings CheckContainerdAnswers(const Host& host);
Findings CheckPlugin(const Host& host);
Findings CheckAnnotations(const Host& host);
Findings CheckUnpacking(const Host& host);
Findings CheckDisabledPlugins(const Host& host);
Findings CheckMappedIds(const Host& host);
Findings CheckPluginLoaded(const Host& host);

Findings CheckCri(const Host& host);
Findings CheckCriMirrors(const Host& host);
Findings CheckCriBackend(const Host& host);
Findings CheckNerdctl(const Host& host);
Findings CheckK3s(const Host& host);

Findings CheckImage(const Host& host);

}  // namespace starling::doctor
