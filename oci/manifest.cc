#include "oci/manifest.h"
