/*
 * patch.c
 *		Changes to an answer that is otherwise right: other types, unknown
 *		fields, numbers that no type can hold.
 *
 * A place is named by a path such as "data.0.balance"; "" is the whole answer.
 */
#include "fault.h"

#include <json-c/printbuf.h>
#include <stdlib.h>
#include <string.h>

/* Print the text that the object carries, whatever it is. */
static int
print_raw(json_object *object, struct printbuf *buffer, int level, int flags)
{
	const char *text = json_object_get_userdata(object);

	(void) level;
	(void) flags;
	return printbuf_memappend(buffer, text, (int) strlen(text));
}

/* A value that prints as exactly this text, be it JSON or not. */
static json_object *
raw_value(const char *text)
{
	json_object *object = json_object_new_boolean(false);

	json_object_set_serializer(object, print_raw, sim_strdup(text),
							   json_object_free_userdata);
	return object;
}

/* True and the index if the part of a path is a number. */
static bool
array_index(const char *part, size_t *index)
{
	char	   *end;

	*index = strtoul(part, &end, 10);
	return end != part && *end == '\0';
}

/* A part of an object or an array, or NULL. */
static json_object *
child(json_object *parent, const char *part)
{
	size_t		index;

	if (json_object_is_type(parent, json_type_object))
		return json_object_object_get(parent, part);
	if (json_object_is_type(parent, json_type_array) &&
		array_index(part, &index))
		return json_object_array_get_idx(parent, index);
	return NULL;
}

/*
 * Find the parent of the place that *path names; the last part of the path
 * is what is left of it.
 */
static json_object *
parent_of(json_object *root, char **path)
{
	char	   *point;

	while (root != NULL && (point = strchr(*path, '.')) != NULL)
	{
		*point = '\0';
		root = child(root, *path);
		*path = point + 1;
	}
	return root;
}

/* Put a value, which is given away, at a place that may not exist. */
static void
put_at(json_object **root, const char *path, json_object *value)
{
	char	   *copy = sim_strdup(path);
	char	   *part = copy;
	json_object *parent = parent_of(*root, &part);
	size_t		index;

	if (*path == '\0')
	{
		json_object_put(*root);
		*root = value;
	}
	else if (json_object_is_type(parent, json_type_object))
		json_object_object_add(parent, part, value);
	else if (json_object_is_type(parent, json_type_array) &&
			 array_index(part, &index) &&
			 index <= json_object_array_length(parent))
		json_object_array_put_idx(parent, index, value);
	else
		json_object_put(value);
	free(copy);
}

static void
remove_at(json_object *root, const char *path)
{
	char	   *copy = sim_strdup(path);
	char	   *part = copy;
	json_object *parent = parent_of(root, &part);
	size_t		index;

	if (json_object_is_type(parent, json_type_object))
		json_object_object_del(parent, part);
	else if (json_object_is_type(parent, json_type_array) &&
			 array_index(part, &index) &&
			 index < json_object_array_length(parent))
		json_object_array_del_idx(parent, index, 1);
	free(copy);
}

/*
 * Apply "set" (values by path), "raw" (texts by path) and "remove" (paths).
 */
void
sim_patch_apply(SimAnswer *answer, json_object *options)
{
	json_object *root = answer->body == NULL ? NULL :
		json_tokener_parse(answer->body);
	json_object *changes;

	if (json_object_object_get_ex(options, "set", &changes) &&
		json_object_is_type(changes, json_type_object))
	{
		json_object_object_foreach(changes, path, value)
			put_at(&root, path, json_object_get(value));
	}
	if (json_object_object_get_ex(options, "raw", &changes) &&
		json_object_is_type(changes, json_type_object))
	{
		json_object_object_foreach(changes, path, value)
			put_at(&root, path, raw_value(json_object_get_string(value)));
	}
	if (json_object_object_get_ex(options, "remove", &changes) &&
		json_object_is_type(changes, json_type_array))
	{
		for (size_t i = 0; i < json_object_array_length(changes); i++)
			remove_at(root, json_object_get_string(
				json_object_array_get_idx(changes, i)));
	}
	sim_answer_json(answer, answer->status, root);
}
