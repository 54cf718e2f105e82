#include "oci/platform.h"
