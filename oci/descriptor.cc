#include "oci/descriptor.h"
