#include "oci/image_config.h"
