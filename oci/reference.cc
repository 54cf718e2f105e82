#include "oci/reference.h"
