/* acpi_event.h: the power button, through the kernel's generic netlink family acpi_event.
 *
 * A VMM's "please power off" (QMP system_powerdown) arrives as the ACPI power button; the
 * module `button` turns it into a multicast message. No acpid and no input device needed.
 */
#ifndef CRABBOX_GUEST_ACPI_EVENT_H
#define CRABBOX_GUEST_ACPI_EVENT_H

#include <stdbool.h>

/* A non-blocking socket in the multicast group, or -1 where the kernel has no ACPI events. */
int acpi_event_open(void);

/* Reads what has arrived; true if the power button is among it. */
bool acpi_event_is_power_button(int fd);

#endif
