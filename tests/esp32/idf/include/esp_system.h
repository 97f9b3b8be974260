// Nothing of it is used by headers.
#pragma once
