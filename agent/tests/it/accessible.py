"""What assistive technology finds on this session: one line for each object, `depth role|name|focusable`."""
import pyatspi


def walk(thing, depth):
    focusable = thing.getState().contains(pyatspi.STATE_FOCUSABLE)
    print(depth, "|".join([thing.getRoleName(), thing.name.replace("\n", " "), str(focusable)]))
    for child in thing:
        walk(child, depth + 1)


for program in pyatspi.Registry.getDesktop(0):
    walk(program, 0)
